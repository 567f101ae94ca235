"""Bridges: a feature map of the student, one of the teacher, and the transform between them.

Which maps there are, and how large, is found by running both detectors once on a blank image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.mimic_teacher import as_maps, places, run_feature_layers
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import example_image
from mmdet_lcp.models.feature_transform import FeatureTransform
from mmdet_lcp.modes import in_eval


@dataclass(frozen=True)
class FoundMap:
    """A map that a module gives.

    Attributes:
        path: of the module.
        index: of the map among all that the module gives.
        level: of the map in its pyramid, counted from 0.
        levels: how many levels that has; 1 for a map by itself.
        shape: (C, H, W) for the image that was shown.
    """

    path: str
    index: int
    level: int
    levels: int
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        return f'{self.path}[{self.index}] {self.shape}'


@dataclass(frozen=True)
class Bridge:
    """A pair of maps.

    Attributes:
        student: the student's.
        teacher: the teacher's.
        kind: of the transform.
    """

    student: FoundMap
    teacher: FoundMap
    kind: str

    def __str__(self) -> str:
        return f'{self.student} -> {self.kind} -> {self.teacher}'

    def build(self) -> FeatureTransform:
        """A fresh transform for it."""
        return FeatureTransform(self.student.shape[0], self.teacher.shape[0], self.kind)

    def check(self) -> None:
        """Check that the transform can lead from the one map to the other.

        Raises:
            CompressionError: it cannot; both shapes are named, and what to do.
        """
        (channels, *size), (wanted_channels, *wanted) = self.student.shape, self.teacher.shape
        if self.kind == 'none' and channels != wanted_channels:
            self._fail("'none' keeps the channels: set transform='conv'")
        if self.kind in ('none', 'conv') and size != wanted:
            self._fail(
                f'{self.kind!r} keeps the size of a map: tap maps of the same stride, or set '
                "transform='resize', or 'deconv' for a map of half the size"
            )
        if self.kind == 'deconv':
            fits = all(2 * own - 1 <= w <= 2 * own for own, w in zip(size, wanted, strict=True))
            if not fits:
                self._fail(
                    "'deconv' doubles the size of a map: tap maps whose strides differ by a "
                    "factor of 2, or set transform='resize'"
                )

    def _fail(self, advice: str) -> None:
        raise CompressionError(
            f'mimic.taps: for the same image the student gives {self.student}, the teacher '
            f'{self.teacher} (channels, height, width). {advice}.'
        )


def default_path(detector: nn.Module) -> str:
    """The module whose maps the head reads: the neck, or the backbone where there is none."""
    return 'neck' if getattr(detector, 'with_neck', False) else 'backbone'


def find_maps(detector: nn.Module, path: str, size: tuple[int, int], whose: str) -> list[FoundMap]:
    """The maps that a module gives for an image.

    Args:
        detector: an mmdet detector; it is left as it is.
        path: the module's path.
        size: (height, width) of the image in pixels.
        whose: ``'teacher'`` or ``'student'``, for messages.

    Raises:
        CompressionError: there is no such module, or it gives no maps.
    """
    image = example_image(detector, size)
    try:
        taps = Taps(detector, [path])
    except CompressionError as error:
        raise CompressionError(f'mimic.taps: the {whose}: {error}') from error
    with in_eval(detector), torch.no_grad(), taps:
        run_feature_layers(detector, image, [path], [blank_sample(size, image)])
    maps = as_maps(taps.get(path), path, whose)
    return [
        FoundMap(path, index, *place, tuple(level.shape[1:]))
        for index, (level, place) in enumerate(zip(maps, places(taps[path]), strict=True))
    ]


def blank_sample(size: tuple[int, int], like: Tensor) -> DetDataSample:
    """A sample of an image without objects."""
    shape = tuple(size)
    sample = DetDataSample(
        metainfo=dict(
            img_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            ori_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=like.new_zeros(0, 4), labels=torch.zeros(0, dtype=torch.long, device=like.device)
    )
    return sample


def find_bridges(
    student: nn.Module,
    teacher: nn.Module,
    taps: Sequence,
    transform: str,
    size: tuple[int, int],
    teacher_size: tuple[int, int],
) -> list[Bridge]:
    """Pair the maps of two detectors.

    Args:
        student: the small detector.
        teacher: the large one.
        taps: with `student`, `teacher`, `levels` and `transform`, each of which may be ``None``.
        transform: kind for taps that name none.
        size: (height, width) in pixels of an image as the student sees it.
        teacher_size: of the same image as the teacher sees it.

    Raises:
        CompressionError: there are no such modules, they give no maps or not as many, or a
            transform cannot lead from one to the other.
    """
    bridges = []
    for number, tap in enumerate(taps):
        own = find_maps(student, tap.student or default_path(student), size, 'student')
        path = tap.teacher or tap.student or default_path(teacher)
        other = find_maps(teacher, path, teacher_size, 'teacher')
        where = f'mimic.taps[{number}]'
        if tap.levels is not None:
            own, other = (_picked(maps, tap.levels, where) for maps in (own, other))
        if len(own) != len(other):
            raise CompressionError(
                f'{where}: the student gives {len(own)} maps, {_listed(own)}, the teacher '
                f'{len(other)}, {_listed(other)} (channels, height, width): name levels that '
                f'both have with levels=[...], or other modules'
            )
        for mine, theirs in zip(own, other, strict=True):
            bridge = Bridge(mine, theirs, tap.transform or transform)
            bridge.check()
            bridges.append(bridge)
    return bridges


def _picked(maps: list[FoundMap], levels: Sequence[int], where: str) -> list[FoundMap]:
    last = max(found.level for found in maps)
    if max(levels) > last:
        raise CompressionError(
            f'{where}.levels={list(levels)} counts from 0, but the last level is {last}: '
            f'{_listed(maps)}'
        )
    return [found for found in maps if found.level in levels]


def _listed(maps: Sequence[FoundMap]) -> str:
    return ', '.join(map(str, maps))
