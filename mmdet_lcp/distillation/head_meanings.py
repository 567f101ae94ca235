"""Whether the outputs of two heads mean the same, so that they may be compared."""

from typing import Any

from torch import nn

from mmdet_lcp.errors import CompressionError

_SHOWN = 200  # characters of a value in a message


def check_alike(what: str, own: Any, other: Any) -> None:
    """Refuse a student and a teacher that differ in something.

    Args:
        what: it is, in words.
        own: the student's.
        other: the teacher's.

    Raises:
        CompressionError: they differ; both are shown.
    """
    if own != other:
        raise CompressionError(
            f'mimic.head_outputs: the {what} differ, {_short(own)} in the student and '
            f'{_short(other)} in the teacher, so their outputs mean different things. Make them '
            'alike, or mimic features only: mimic.head_outputs=0'
        )


def coder_meaning(head: nn.Module | None) -> tuple:
    """What the numbers of a head's box coder mean."""
    coder = getattr(head, 'bbox_coder', None)
    return (type(coder).__name__, *(tuple(getattr(coder, key, ())) for key in ('means', 'stds')))


def prior_meaning(head: nn.Module | None) -> tuple:
    """Which priors a head has, and where."""
    made = getattr(head, 'prior_generator', None)
    boxes = [level.tolist() for level in getattr(made, 'base_anchors', [])]
    return (type(made).__name__, list(getattr(made, 'strides', [])), boxes)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
