"""Stage 2 of mimic: the class and box outputs of two RoI heads on the same regions.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017), section 3.2: the
small network is fine-tuned from stage 1, optionally with an L2 loss on the large network's class
and box outputs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmdet_lcp.detectors.recorded_calls import Call, recorded_calls
from mmdet_lcp.distillation.head_meanings import check_alike, coder_meaning
from mmdet_lcp.distillation.mimic_bridges import default_path
from mmdet_lcp.distillation.mimic_teacher import Maps, Teacher
from mmdet_lcp.errors import CompressionError

PATH = 'roi_head.bbox_head'


class HeadOutputs:
    """Squared difference of the outputs of two RoI heads, on the student's sampled regions.

    The raw outputs are compared, class scores before softmax and box deltas, all of them on all
    regions, each divided by their number a region [our reading; the paper gives no formula].

    Args:
        student: a two-stage detector.
        teacher: the large one; its maps of `teacher_path` are needed.

    Attributes:
        paths: modules of the student whose outputs `losses` reads.
        teacher_path: module of the teacher whose maps it reads.

    Raises:
        CompressionError: one of them has no such head, or their outputs mean different things.
    """

    paths = (PATH,)

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        for whose, detector in (('student', student), ('teacher', teacher)):
            if not isinstance(getattr(detector, 'roi_head', None), StandardRoIHead):
                raise CompressionError(
                    f'mimic.head_outputs compares the outputs of two two-stage detectors with '
                    f'one box head, or of two single-stage ones, but the {whose} is a '
                    f'{type(detector).__name__}: set mimic.head_outputs=0'
                )
        own, other = student.roi_head.bbox_head, teacher.roi_head.bbox_head
        for key in ('num_classes', 'reg_class_agnostic'):
            check_alike(f'{key} of the box heads', getattr(own, key), getattr(other, key))
        check_alike('bbox_coder of the box heads', coder_meaning(own), coder_meaning(other))
        self.extractor = student.roi_head.bbox_roi_extractor
        self.teacher_path = default_path(teacher)
        self._calls: list[Call] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Open while the student computes its own losses."""
        with recorded_calls(self.extractor, 'forward') as calls:
            yield
        self._calls = calls

    def losses(
        self, taps: Mapping[str, Any], maps: Maps, teacher: Teacher, factors: tuple[float, float]
    ) -> dict[str, Tensor]:
        """``loss_mimic_cls`` and ``loss_mimic_box`` of the batch that has been watched.

        Args:
            taps: outputs of `paths`.
            maps: the teacher's, of `teacher_path`.
            teacher: the teacher.
            factors: pixels of the teacher's image per pixel of the student's, in x and y.
        """
        calls, self._calls = self._calls, []
        rois = calls[0].args[1].detach().float()
        rois = rois * rois.new_tensor([1.0, factors[0], factors[1], factors[0], factors[1]])
        levels = tuple(maps[self.teacher_path])
        head = teacher.detector.roi_head
        with torch.no_grad(), teacher.precision(rois.device):
            wanted = head._bbox_forward(levels, rois)
        scores, boxes = taps[PATH][:2]
        return {
            'loss_mimic_cls': mean_square(wanted['cls_score'], scores),
            'loss_mimic_box': mean_square(wanted['bbox_pred'], boxes),
        }


def mean_square(wanted: Tensor, given: Tensor) -> Tensor:
    """1/(2R) sum_i 1/D ||wanted_i - given_i||^2 over R rows of D numbers; a part of the graph.

    On several ranks R is the ranks' mean.

    Args:
        wanted: (R, D); no gradient flows into it.
        given: (R, D).
    """
    given = given.float()
    total = (wanted.detach().float() - given).square().sum() / given.size(1)
    return total / (2 * reduce_mean(total.new_tensor(float(len(given)))).clamp(min=1.0))
