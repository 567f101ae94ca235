"""How far a detector's outputs are from those of another one; no annotations are read.

Distillation of the outputs (Hinton et al., arXiv 1503.02531), as detectors need it: classes by the
Kullback-Leibler divergence, what stands beside them by its squared error, both counted in the
places where the teacher sees an object. As in a detector's own loss, both are sums over all
priors, over the number of objects; that number is the sum of the teacher's own probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_VARIANCE = 1e-12


@dataclass
class OutputPart:
    """Some outputs that belong together.

    Attributes:
        scores: logits of the classes, (M, C), a row for each prior, region or query, those of all
            levels behind one another; ``None`` where nothing is known about the outputs.
        softmax: whether the scores compete, the last of them the background's; else each class
            has a sigmoid of its own.
        values: what else is told of each row, (M, K): boxes, centerness. Without `scores` each as
            it is.
    """

    scores: Tensor | None
    softmax: bool = False
    values: list[Tensor] = field(default_factory=list)


def output_distillation_loss(
    teacher: Sequence[OutputPart], student: Sequence[OutputPart]
) -> Tensor:
    """The distance of a student's outputs from its teacher's on the same images, a scalar >= 0.

    For each part with class scores s of the student and t of the teacher, and o_i the teacher's
    probability that prior i shows an object:

        sum_i KL(t_i || s_i) / sum_i o_i  +  sum_v sum_i o_i |v_i - v'_i|^2 / (sum_i o_i var(v))

    with v the values beside the scores and var(v) the o-weighted variance of the teacher's, summed
    over v's channels. Boxes of each class count by that class's probability. A part without
    scores: its mean squared error over the teacher's variance.

    Args:
        teacher: of `output_parts`; no gradient flows into it.
        student: likewise, of the same shapes.
    """
    losses = []
    for known, own in zip(teacher, student, strict=True):
        if known.scores is None:
            for target, value in zip(known.values, own.values, strict=True):
                losses.append(_relative(target.detach(), value))
            continue
        divergence, classes, objects = _scores(known.scores.detach(), own.scores, known.softmax)
        losses.append(divergence.sum() / objects.sum().clamp_min(1))
        for target, value in zip(known.values, own.values, strict=True):
            per_class = classes.shape[1] > 1 and target.shape[1] == 4 * classes.shape[1]
            weights = classes.repeat_interleave(4, 1) if per_class else objects[:, None]
            losses.append(_weighted(target.detach(), value, weights))
    return torch.stack(losses).sum()


def _relative(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean squared error over the teacher's variance."""
    error = (student - teacher).square().mean()
    return error / teacher.var(correction=0).clamp_min(_LEAST_VARIANCE)


def _scores(teacher: Tensor, student: Tensor, softmax: bool) -> tuple[Tensor, Tensor, Tensor]:
    """KL divergence of each row, (M,), the teacher's classes, (M, K), and its objects, (M,)."""
    if softmax:
        log_t, log_s = teacher.log_softmax(1), student.log_softmax(1)
        probabilities = log_t.exp()
        divergence = (probabilities * (log_t - log_s)).sum(1)
        return divergence, probabilities[:, :-1], 1 - probabilities[:, -1]
    classes = teacher.sigmoid()
    own = F.binary_cross_entropy_with_logits(teacher, classes, reduction='none')
    cross = F.binary_cross_entropy_with_logits(student, classes, reduction='none')
    return (cross - own).sum(1), classes, classes.amax(1)


def _weighted(teacher: Tensor, student: Tensor, weights: Tensor) -> Tensor:
    """Squared error where objects are, over the variance of the teacher's values there."""
    weights = (weights / weights.sum(0).clamp_min(_LEAST_VARIANCE)).expand_as(teacher)
    mean = (weights * teacher).sum(0)
    variance = (weights * (teacher - mean).square()).sum()
    error = (weights * (student - teacher).square()).sum()
    return error / variance.clamp_min(_LEAST_VARIANCE)
