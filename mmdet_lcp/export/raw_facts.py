"""What has to be known to turn a head's raw outputs into boxes: written beside a raw file."""

from typing import Any

from torch import Tensor, nn

from mmdet_lcp.detectors.head_scores import has_sigmoid
from mmdet_lcp.export.thresholds import final_test_cfg

PLAIN = (bool, int, float, str, type(None))


def raw_facts(
    detector: nn.Module, outputs: tuple[Tensor, ...], names: list[str], size: tuple[int, int]
) -> dict[str, Any]:
    """The outputs' shapes, the strides, the priors, the coder and `test_cfg`.

    Args:
        detector: a detector of one stage.
        outputs: of its head, on one batch.
        names: of the outputs.
        size: (height, width) in pixels of the input.
    """
    head = detector.bbox_head
    generator = getattr(head, 'prior_generator', None)
    facts: dict[str, Any] = {
        'head': type(head).__name__,
        'shapes': {
            name: list(output.shape[1:]) for name, output in zip(names, outputs, strict=True)
        },
        'num_classes': getattr(head, 'num_classes', None),
        'cls_out_channels': getattr(head, 'cls_out_channels', None),
        'activation': 'sigmoid' if has_sigmoid(head, unless_told=True) else 'softmax',
        'coder': _plain(getattr(head, 'bbox_coder', None)),
        'test_cfg': _values(dict(final_test_cfg(detector))),
    }
    if generator is not None:
        facts['strides'] = [list(map(float, _pair(each))) for each in generator.strides]
        facts['priors'] = {'type': type(generator).__name__}
        base = getattr(generator, 'base_anchors', None)
        if base is not None:  # x1, y1, x2, y2 in pixels around the first cell of each level
            facts['anchors'] = [each.tolist() for each in base]
            facts['order'] = 'row by row, in each cell anchor by anchor'
        else:
            facts['priors']['offset'] = getattr(generator, 'offset', None)
    return facts


def _pair(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _plain(coder: Any) -> dict[str, Any] | None:
    """A coder's type and its numbers."""
    if coder is None:
        return None
    return {'type': type(coder).__name__, **_values(vars(coder))}


def _values(data: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in data.items():
        if isinstance(value, dict):
            found[key] = _values(value)
        elif isinstance(value, PLAIN):
            found[key] = value
        elif isinstance(value, (list, tuple)) and all(isinstance(each, PLAIN) for each in value):
            found[key] = list(value)
    return found
