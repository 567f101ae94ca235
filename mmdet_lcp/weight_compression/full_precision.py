"""Which layers low-bit methods leave at full precision, with the reason.

BDNN (Pattern Recognition Letters, 2019) never quantises the layers that classify and localise; SSD
keeps its first layer too, Faster R-CNN the RPN's own.
"""

from collections.abc import Sequence

from torch import nn

from mmdet_lcp.graph.run_order import RunOrder
from mmdet_lcp.weight_compression.layers import weight_layers

PARTS = ('first', 'predictions', 'rpn')


def full_precision(
    detector: nn.Module, order: RunOrder, parts: Sequence[str] = PARTS
) -> dict[str, str]:
    """Find the layers that stay as they are.

    Args:
        detector: a plain mmdet detector.
        order: how it runs.
        parts: which of them: ``'first'``, the layer that reads the image; ``'predictions'``, the
            layers whose outputs no other layer reads: classes, boxes and what comes with them;
            ``'rpn'``, every layer of the RPN's head.

    Returns:
        Reason by module path. Layers that do not run, and such as share their weights with
        another layer, are always among them.
    """
    layers = weight_layers(detector)
    reasons: dict[str, str] = {}
    owners: dict[int, str] = {}
    for path, layer in layers.items():
        if path not in order.modules:
            reasons[path] = "it does not run in the detector's forward pass"
        owner = owners.setdefault(id(layer.weight), path)
        if owner != path:
            shared = 'it shares its weights with'
            reasons[path] = f'{shared} {owner}'
            reasons[owner] = f'{shared} {path}'
    if 'predictions' in parts:
        for path in order.last:
            reasons.setdefault(path, 'it makes predictions: classes, boxes or the like')
    if 'rpn' in parts:
        for path in layers:
            if path.startswith('rpn_head.'):
                reasons.setdefault(path, "it is one of the RPN's own layers")
    first = next((path for path in order.modules if path in layers), None)
    if 'first' in parts and first is not None:
        reasons.setdefault(first, 'it is the first layer')
    return reasons
