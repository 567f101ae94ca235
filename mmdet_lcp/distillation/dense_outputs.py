"""Distillation of outputs while training: two heads that look everywhere, on the same images.

Hinton et al., "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), as detectors need
it; see `output_distillation_loss`. RoI heads have `mimic_outputs`.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from mmdet_lcp.distillation.head_meanings import check_alike, coder_meaning, prior_meaning
from mmdet_lcp.distillation.mimic_bridges import find_maps
from mmdet_lcp.distillation.mimic_teacher import HEAD, Maps, Teacher
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses.output_distillation import output_distillation_loss
from mmdet_lcp.selection.head_outputs import output_parts


class DenseOutputs:
    """The distance of what two such heads write for each prior, all levels together.

    Args:
        student: a single-stage detector.
        teacher: one with the same priors and classes.
        size: (height, width) in pixels of the student's images.
        teacher_size: of the same images as the teacher sees them.

    Attributes:
        paths: modules of the student whose outputs `losses` reads.
        teacher_path: module of the teacher whose maps it reads.

    Raises:
        CompressionError: one of them has no such head, or their outputs mean different things.
    """

    paths = (HEAD,)
    teacher_path = HEAD

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        size: tuple[int, int],
        teacher_size: tuple[int, int],
    ) -> None:
        heads = [getattr(detector, HEAD, None) for detector in (student, teacher)]
        for what, read in _MEANINGS.items():
            check_alike(what, *map(read, heads))
        shapes = _shapes(student, size, 'student'), _shapes(teacher, teacher_size, 'teacher')
        check_alike('maps (channels, height, width)', *shapes)
        self.student = student

    def watch(self) -> nullcontext:
        """Nothing but the taps is needed."""
        return nullcontext()

    def losses(
        self, taps: Mapping[str, Any], maps: Maps, teacher: Teacher, factors: tuple[float, float]
    ) -> dict[str, Tensor]:
        """``loss_mimic_outputs`` of a batch; arguments as in `HeadOutputs.losses`."""
        own = tree_map(Tensor.float, taps[HEAD])
        wanted = tree_unflatten(maps[HEAD], tree_flatten(own)[1])
        parts = [output_parts(self.student, outputs) for outputs in (wanted, own)]
        return {'loss_mimic_outputs': output_distillation_loss(*parts)}


def _shapes(detector: nn.Module, size: tuple[int, int], whose: str) -> list[tuple[int, int, int]]:
    """Of all maps that the head writes."""
    try:
        return [found.shape for found in find_maps(detector, HEAD, size, whose)]
    except CompressionError as error:
        raise CompressionError(
            f'mimic.head_outputs wants a head that writes maps of scores and boxes, and the '
            f'{whose} is a {type(detector).__name__} without: set mimic.head_outputs=0'
        ) from error


_MEANINGS = {
    'heads': lambda head: type(head).__name__,
    'numbers of classes': lambda head: getattr(head, 'num_classes', None),
    'box coders': coder_meaning,
    'priors': prior_meaning,
}
