"""The `mimic` config: every key of it, its default and its range.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet_lcp.config.checks import check_integer, check_not_negative, check_positive
from mmdet_lcp.config.keys import parse, section
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses import FeatureMimicLoss
from mmdet_lcp.models.feature_transform import check_kind

REGIONS = ('proposals', 'ground_truth', 'map')
LEVELS = ('own', 'all')
STARTS = ('fitted', 'random')
CACHES = ('memory', 'disk')
DENSE = 'dense'
KEY = 'mimic'


@dataclass
class TeacherConfig:
    """The large detector.

    Attributes:
        config: its config file; of it, `model` is read. In `pruning.retrain.mimic` this and
            `checkpoint` may be left out.
        checkpoint: its weights.
        half: run it in half precision: float16 on a GPU, bfloat16 on a CPU.
        cache: keep its features of every image, in ``'memory'`` or on ``'disk'``: it then runs in
            the first epoch alone. This takes a training pipeline without random transforms.
        cache_dir: folder for ``'disk'``, which several runs may share; below the work_dir unless
            told.
        cache_gb: gigabytes of features at most, > 0; what is beyond runs anew each time.
    """

    config: str | None = None
    checkpoint: str | None = None
    half: bool = False
    cache: str | None = None
    cache_dir: str | None = None
    cache_gb: float = 4.0

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        for key, other in (('config', 'checkpoint'), ('checkpoint', 'config')):
            if getattr(self, key) is None and getattr(self, other) is not None:
                raise CompressionError(
                    f'{where}.{other} is given without {where}.{key}: the teacher needs both'
                )
        if not isinstance(self.half, bool):
            raise CompressionError(f'{where}.half={self.half!r} must be True or False')
        if self.cache is not None and self.cache not in CACHES:
            raise CompressionError(
                f"{where}.cache={self.cache!r} must be 'memory', 'disk' or None for none"
            )
        if self.cache_dir is not None and self.cache != 'disk':
            raise CompressionError(f"{where}.cache_dir is for {where}.cache='disk'")
        check_positive(f'{where}.cache_gb', self.cache_gb)


@dataclass
class TapConfig:
    """Where one feature map, or one tuple of them, is compared.

    Attributes:
        student: module path in the student; ``None`` for the maps that its head reads: the
            output of its neck, or of its backbone if it has none. Of a module that runs several
            times, a convolution that all levels share, the first run counts.
        teacher: module path in the teacher; ``None`` for the student's path, or likewise.
        levels: which levels of a tuple of maps, counted from 0; ``None`` for all.
        transform: ``'conv'``, a 3x3 convolution; ``'resize'``, bilinear to the teacher's size,
            then ``'conv'``; ``'deconv'``, twice the size, then ``'conv'``; ``'none'``, as it is;
            ``None`` for `mimic.transform`.
    """

    student: str | None = None
    teacher: str | None = None
    levels: Sequence[int] | None = None
    transform: str | None = None

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        for key in ('student', 'teacher'):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, str) or not value):
                raise CompressionError(f'{where}.{key}={value!r} must be a module path')
        if self.transform is not None:
            check_kind(f'{where}.transform', self.transform)
        levels = self.levels
        if levels is None:
            return
        whole = isinstance(levels, (list, tuple)) and levels
        if not whole or not all(isinstance(n, int) and n >= 0 for n in levels):
            raise CompressionError(
                f'{where}.levels={levels!r} must list levels of a tuple of maps, counted from 0'
            )


@dataclass
class MimicConfig:
    """How a student learns a teacher's features.

    Attributes:
        teacher: the large detector; while a detector is retrained after its pruning ``'dense'``,
            the default there, is the detector before it.
        weight: λ₁, the factor of the mimic loss beside the detector's own, >= 0; 0 leaves feature
            maps out, for `head_outputs` alone.
        detector_weight: factor of the detector's own losses, >= 0.
        taps: where features are compared.
        transform: of taps that name none.
        start: transforms begin at the least-squares solution on a few batches (``'fitted'``) or
            at ``'random'``.
        regions: ``'proposals'``, of the student: its RPN's, or the default boxes that its head
            is trained on; positives and negatives 1:1, those with the highest scores. For
            comparison ``'ground_truth'``, with random negatives, and the whole ``'map'``.
        num_regions: regions of an image at most, >= 2.
        levels: with several maps, compare a region on the map that it belongs to by its size
            (``'own'``), or on ``'all'``.
        pooling: ``'pixels'``, the difference at the cells inside a region; ``'roi_align'`` pools
            the regions of both maps first.
        output_size: bins along each side of a region for ``pooling='roi_align'``.
        normalized: divide by the number of features of a region; False is the paper's plain form.
        standardized: divide features by the standard deviation of the teacher's on their map, so
            that `weight` means the same for every pair of detectors; False is the paper's form.
        head_outputs: factor of the distance of the heads' outputs, >= 0, where student and
            teacher know the same classes. Of two-stage detectors (the paper's stage 2) the squared
            difference of classes and boxes on the student's sampled regions; of single-stage
            detectors with the same priors the distance of `pruning.distill`, on all priors.
        image_scale: the student sees the training images scaled by this, the teacher as they
            are; in (0, 1], 0.5 is the half-size form.
    """

    teacher: TeacherConfig | str | None = None
    weight: float = 10.0
    detector_weight: float = 1.0
    taps: Sequence[TapConfig] = field(default_factory=lambda: [TapConfig()])
    transform: str = 'conv'
    start: str = 'fitted'
    regions: str = 'proposals'
    num_regions: int = 256
    levels: str = 'own'
    pooling: str = 'pixels'
    output_size: int = 7
    normalized: bool = True
    standardized: bool = True
    head_outputs: float = 0.0
    image_scale: float = 1.0

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        check_not_negative(f'{where}.weight', self.weight)
        check_not_negative(f'{where}.detector_weight', self.detector_weight)
        check_not_negative(f'{where}.head_outputs', self.head_outputs)
        if not self.weight and not self.head_outputs:
            raise CompressionError(
                f'{where}.weight=0 and {where}.head_outputs=0: the teacher teaches nothing; set '
                'one of them'
            )
        check_kind(f'{where}.transform', self.transform)
        for key, known in (('regions', REGIONS), ('levels', LEVELS), ('start', STARTS)):
            if getattr(self, key) not in known:
                raise CompressionError(
                    f'{where}.{key}={getattr(self, key)!r} is unknown: use one of {known}.'
                )
        check_integer(f'{where}.num_regions', self.num_regions, least=2)
        scale = self.image_scale
        if not isinstance(scale, (int, float)) or isinstance(scale, bool) or not 0 < scale <= 1:
            raise CompressionError(f'{where}.image_scale={scale!r} must lie in (0, 1]')
        try:
            self.loss()
        except CompressionError as error:
            raise CompressionError(f'{where}.{error}') from error
        if not self.taps:
            raise CompressionError(f'{where}.taps is empty: leave it out for the default')
        for number, tap in enumerate(self.taps):
            tap.check(f'{where}.taps[{number}]')
        if isinstance(self.teacher, TeacherConfig):
            self.teacher.check(f'{where}.teacher')
        elif self.teacher not in (None, DENSE):
            raise CompressionError(
                f"{where}.teacher={self.teacher!r} must be dict(config='....py', "
                "checkpoint='....pth')"
            )

    def in_words(self) -> str:
        """What the teacher teaches, for a report."""
        maps = f'weight {self.weight:g}, regions {self.regions}' if self.weight else ''
        outputs = f'head_outputs {self.head_outputs:g}' if self.head_outputs else ''
        return ', '.join(filter(None, (maps, outputs)))

    def loss(self) -> FeatureMimicLoss:
        """The loss that these keys describe."""
        return FeatureMimicLoss(self.normalized, self.pooling, self.output_size, self.standardized)


def read_mimic(given: Mapping[str, Any], where: str) -> MimicConfig:
    """Read and check a `mimic` config.

    Args:
        given: as it stands in the config.
        where: its key, for messages.

    Raises:
        CompressionError: a key is misspelt, or a value out of range.
    """
    mimic = parse(MimicConfig, given, where)
    if isinstance(mimic.teacher, Mapping):
        mimic.teacher = parse(TeacherConfig, mimic.teacher, f'{where}.teacher')
    if not isinstance(mimic.taps, (list, tuple)):
        raise CompressionError(f'{where}.taps={mimic.taps!r} must be a list of dicts')
    mimic.taps = [
        tap if isinstance(tap, TapConfig) else parse(TapConfig, tap, f'{where}.taps[{number}]')
        for number, tap in enumerate(mimic.taps)
    ]
    mimic.check(where)
    return mimic


def read_mimic_of(cfg: Mapping[str, Any]) -> MimicConfig:
    """Read and check the `mimic` key of a whole config.

    Raises:
        CompressionError: the key is missing or misspelt, or something in it is.
    """
    mimic = read_mimic(section(cfg, KEY, 'MimicRunner', 'distill'), KEY)
    if not isinstance(mimic.teacher, TeacherConfig):
        raise CompressionError(
            f'{KEY}.teacher is missing: name the large detector, '
            f"{KEY}=dict(teacher=dict(config='....py', checkpoint='....pth'))"
        )
    return mimic
