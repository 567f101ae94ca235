"""The attachment of mimic: the student's maps, through transforms, against the teacher's.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017):
L = lambda_1 L_m + L_gt.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.auxiliary.network import spatial_scale
from mmdet_lcp.detectors.region_levels import LevelRule
from mmdet_lcp.detectors.roi_samples import batch_shape
from mmdet_lcp.distillation.dense_outputs import DenseOutputs
from mmdet_lcp.distillation.mimic_bridges import Bridge, FoundMap
from mmdet_lcp.distillation.mimic_outputs import HeadOutputs
from mmdet_lcp.distillation.mimic_regions import Regions
from mmdet_lcp.distillation.mimic_teacher import Maps, Teacher, as_maps
from mmdet_lcp.losses import FeatureMimicLoss, MapPair


class FeatureMimic(Attachment):
    """Contributes ``loss_mimic`` and the losses of the heads' outputs.

    These are ``loss_mimic_outputs`` of single-stage detectors, ``loss_mimic_cls`` and
    ``loss_mimic_box`` of two-stage ones, for stage 2.

    Its weights are those of the transforms alone.

    Args:
        teacher: the large detector.
        bridges: the pairs of maps; without any, the outputs of the heads alone are compared.
        regions: chooses where they are compared.
        loss: compares them.
        weight: lambda_1.
        levels: number of levels of the student and the rule that tells a region's; on taps with
            one map for each level a region is compared on its own. ``None``: on all maps.
        outputs: compares the outputs of the heads; ``None`` does not.
        outputs_weight: its factor.
    """

    name = 'mimic'

    def __init__(
        self,
        teacher: Teacher,
        bridges: Sequence[Bridge],
        regions: Regions,
        loss: FeatureMimicLoss,
        weight: float = 1.0,
        levels: tuple[int, LevelRule] | None = None,
        outputs: HeadOutputs | DenseOutputs | None = None,
        outputs_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.bridges = list(bridges)
        self.regions = regions
        self.loss = loss
        self.weight = weight
        self.levels = levels
        self.outputs = outputs
        self.outputs_weight = outputs_weight
        self.transforms = nn.ModuleList(bridge.build() for bridge in self.bridges)
        paths = [bridge.student.path for bridge in self.bridges]
        paths += [*regions.paths, *(outputs.paths if outputs else ())]
        self.paths = list(dict.fromkeys(paths))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """See `Attachment.watch`."""
        with ExitStack() as watching:
            watching.enter_context(self.regions.watch())
            if self.outputs is not None:
                watching.enter_context(self.outputs.watch())
            yield

    def losses(
        self,
        taps: Mapping[str, Any],
        data_samples: list,
        teacher_images: Tensor | None = None,
        teacher_samples: list | None = None,
    ) -> dict[str, Tensor]:
        """The mimic losses of a batch.

        Args:
            taps: outputs of `paths` on the student's images.
            data_samples: mmdet samples of these.
            teacher_images: the same images as the teacher sees them, (N, 3, H', W').
            teacher_samples: samples of these.
        """
        maps = self.teacher.maps(teacher_images, teacher_samples)
        shape = batch_shape([sample.metainfo for sample in data_samples])
        losses = {}
        if self.bridges:
            rois = self.regions.choose(taps, data_samples)
            losses['loss_mimic'] = self.weight * self.loss(self.pairs(taps, maps, rois, shape))
        if self.outputs is not None:
            size = teacher_images.shape[-2:]
            factors = (size[1] / shape[1], size[0] / shape[0])
            found = self.outputs.losses(taps, maps, self.teacher, factors)
            losses.update({key: self.outputs_weight * loss for key, loss in found.items()})
        return losses

    def pairs(
        self,
        taps: Mapping[str, Any],
        maps: Maps,
        rois: Tensor | None,
        shape: tuple[int, int],
    ) -> list[MapPair]:
        """The pairs of maps with the regions on each.

        Args:
            taps: the student's.
            maps: the teacher's.
            rois: (R, 5), boxes in pixels of the student's image; ``None`` for the whole map.
            shape: (height, width) of the student's padded batch image.
        """
        paths = dict.fromkeys(bridge.student.path for bridge in self.bridges)
        own = {path: as_maps(taps[path], path, 'student') for path in paths}
        pairs = []
        for bridge, transform in zip(self.bridges, self.transforms, strict=True):
            teacher = maps[bridge.teacher.path][bridge.teacher.index]
            size = tuple(teacher.shape[-2:])
            student = transform(own[bridge.student.path][bridge.student.index], size)
            if rois is None:
                regions = whole_maps(student)
            else:
                here = self._on_level(rois, bridge.student)
                scale = spatial_scale(size, shape)
                regions = torch.cat([here[:, :1], here[:, 1:] * scale], dim=1)
            pairs.append(MapPair(teacher, student, regions))
        return pairs

    def _on_level(self, rois: Tensor, here: FoundMap) -> Tensor:
        """The regions that are compared on a map."""
        if self.levels is None or not 1 < self.levels[0] <= here.levels:
            return rois
        return rois[self.levels[1](rois) == here.level]


def whole_maps(maps: Tensor) -> Tensor:
    """One region for each of N maps: all of it, (N, 5)."""
    count, _, height, width = maps.shape
    rows = torch.tensor([[index, 0, 0, width, height] for index in range(count)])
    return rows.to(maps)
