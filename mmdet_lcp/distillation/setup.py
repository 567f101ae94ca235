"""From the `mimic` config to a student with its teacher, in any runner."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mmdet_lcp.config.fingerprint import plain
from mmdet_lcp.detectors.region_levels import level_rule
from mmdet_lcp.distillation.config import MimicConfig, TeacherConfig
from mmdet_lcp.distillation.dense_outputs import DenseOutputs
from mmdet_lcp.distillation.feature_mimic import FeatureMimic
from mmdet_lcp.distillation.load_teacher import load_teacher
from mmdet_lcp.distillation.mimic_bridges import Bridge, find_bridges
from mmdet_lcp.distillation.mimic_cache import FeatureCache, digest
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.mimic_inputs import input_conversion
from mmdet_lcp.distillation.mimic_outputs import HeadOutputs
from mmdet_lcp.distillation.mimic_regions import Regions, make_regions
from mmdet_lcp.distillation.mimic_teacher import Teacher
from mmdet_lcp.distillation.pipeline import check_deterministic
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.seeds import derive, seeded

CACHE_FOLDER = 'teacher_features'


class MimicSetup:
    """What is settled before a student is at hand, and `attach` for when it is.

    Args:
        config: the `mimic` config.
        where: its key, for messages.
        cfg: the whole config.
        work_dir: the run's folder.
        dense: the teacher where the config names none; ``None`` where it must.
        classes: names of the student's classes; ``None`` where they are not known.

    Attributes:
        detector: the teacher's detector.
        taught: names of the classes that its checkpoint tells of; ``None`` if of none.

    Raises:
        CompressionError: there is no teacher, or it cannot serve.
    """

    def __init__(
        self,
        config: MimicConfig,
        where: str,
        cfg: Mapping[str, Any],
        work_dir: str | Path,
        dense: nn.Module | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.config = config
        self.where = where
        self._cfg = cfg
        self._work_dir = Path(work_dir)
        own = config.teacher
        self._teacher = own if isinstance(own, TeacherConfig) else TeacherConfig()
        if self._teacher.config is None and dense is not None:
            self.detector, meta = dense, {}
        else:
            self.detector, meta = load_teacher(self._teacher, f'{where}.teacher')
        if self._teacher.cache is not None:
            check_deterministic(cfg, f'{where}.teacher.cache')
        self.taught = (meta.get('dataset_meta') or {}).get('classes')
        self._check_classes(self.taught, classes)

    def attach(self, student: nn.Module, size: tuple[int, int], seed: int) -> MimicDetector:
        """Put the teacher beside a student; the transforms get the same weights each time.

        Args:
            student: a plain mmdet detector.
            size: (height, width) in pixels of the images it is given when it is deployed.
            seed: the run's.

        Raises:
            CompressionError: student and teacher do not fit.
        """
        config = self.config
        bridges = self.bridges(student, size)
        outputs = self._outputs(student, size)
        paths = [bridge.teacher.path for bridge in bridges]
        paths += [outputs.teacher_path] if outputs else []
        teacher = Teacher(
            self.detector,
            paths,
            self._teacher.half,
            input_conversion(student.data_preprocessor, self.detector.data_preprocessor),
            self._cache(paths),
        )
        with seeded(derive(seed, 'mimic')):
            mimic = FeatureMimic(
                teacher,
                bridges,
                self._regions(student),
                config.loss(),
                config.weight,
                level_rule(student) if config.levels == 'own' else None,
                outputs,
                config.head_outputs,
            )
            for transform in mimic.transforms:
                transform.init_weights()
        mimic.to(next(student.parameters()).device)
        return MimicDetector(student, mimic, config.detector_weight, config.image_scale)

    def bridges(self, student: nn.Module, size: tuple[int, int]) -> list[Bridge]:
        """The pairs of maps; see `attach`.

        Raises:
            CompressionError: student and teacher do not fit.
        """
        if not self.config.weight:
            return []
        self.detector.to(next(student.parameters()).device)
        taps, transform = self.config.taps, self.config.transform
        return find_bridges(student, self.detector, taps, transform, size, self._whole(size))

    def check(self, student: nn.Module, size: tuple[int, int]) -> None:
        """Find out early whether `attach` will work; arguments as there.

        Raises:
            CompressionError: it will not.
        """
        self.bridges(student, size)
        self._regions(student)
        self._outputs(student, size)

    def _regions(self, student: nn.Module) -> Regions:
        """Where maps are compared; the outputs of heads need none."""
        kind = self.config.regions if self.config.weight else 'map'
        return make_regions(kind, student, self.config.num_regions)

    def _outputs(
        self, student: nn.Module, size: tuple[int, int]
    ) -> HeadOutputs | DenseOutputs | None:
        """What compares the outputs of the heads."""
        if not self.config.head_outputs:
            return None
        self.detector.to(next(student.parameters()).device)
        if any(is_two_stage(detector) for detector in (student, self.detector)):
            return HeadOutputs(student, self.detector)
        return DenseOutputs(student, self.detector, size, self._whole(size))

    def _whole(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size of an image as the teacher sees it."""
        return tuple(round(side / self.config.image_scale) for side in size)

    def _cache(self, paths: Sequence[str]) -> FeatureCache | None:
        config = self._teacher
        if config.cache is None:
            return None
        if config.cache == 'memory':
            return FeatureCache(None, config.cache_gb)
        parent = Path(config.cache_dir or self._work_dir / CACHE_FOLDER)
        return FeatureCache(parent / self._fingerprint(paths), config.cache_gb)

    def _fingerprint(self, paths: Sequence[str]) -> str:
        """What the features depend on besides the image."""
        weights = hashlib.sha256()
        for name, value in self.detector.state_dict().items():
            weights.update(name.encode())
            weights.update(value.detach().cpu().contiguous().numpy().tobytes())
        cfg = self._cfg
        dataset = cfg['train_dataloader']['dataset']
        preprocessor = cfg['model'].get('data_preprocessor')
        parts = [weights.hexdigest(), sorted(set(paths)), self._teacher.half]
        return digest([*parts, plain(dataset), plain(preprocessor)])

    def _check_classes(self, taught: Any, own: Sequence[str] | None) -> None:
        if not self.config.head_outputs or not taught or not own:
            return
        if list(taught) != list(own):
            raise CompressionError(
                f'{self.where}.head_outputs: the teacher knows the classes {list(taught)}, the '
                f'student {list(own)}, so their outputs mean different things. Take a teacher '
                f'with the same classes, or mimic features only: {self.where}.head_outputs=0'
            )
