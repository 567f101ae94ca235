"""Which layers low-bit methods leave at full precision, with the reason.

BDNN (Pattern Recognition Letters, 2019) never quantises the layers that classify and localise; SSD
keeps its first layer too, Faster R-CNN the RPN's own.
"""

import re
from collections.abc import Sequence

from torch import nn

from mmdet_lcp.graph.run_order import RunOrder
from mmdet_lcp.weight_compression.layers import weight_layers

PARTS = ('first', 'predictions', 'rpn')
NEVER_RUNS = "it does not run in the detector's forward pass"
READ_BY_ATTENTION = 'nn.MultiheadAttention uses its weights without calling it'
# mmdet's names, in Deformable and Conditional DETR; others of these give features.
REFERENCE = re.compile(r'\b(reference_points_fc|ref_point_head)\b')


def full_precision(
    detector: nn.Module, order: RunOrder, parts: Sequence[str] = PARTS
) -> dict[str, str]:
    """Find the layers that stay as they are.

    Args:
        detector: a plain mmdet detector.
        order: how it runs.
        parts: which of them: ``'first'``, the layer that reads the image; ``'predictions'``, the
            layers whose outputs no other layer reads: classes, boxes and what comes with them,
            and of DETR's descendants the reference points;
            ``'rpn'``, every layer of the RPN's head.

    Returns:
        Reason by module path. Always among them: layers that do not run, layers whose weights
        nn.MultiheadAttention uses without calling them, layers that share their weights.
    """
    layers = weight_layers(detector)
    reasons: dict[str, str] = {}
    owners: dict[int, str] = {}
    for path, layer in layers.items():
        if path not in order.modules:
            attention = isinstance(_parent(detector, path), nn.MultiheadAttention)
            reasons[path] = READ_BY_ATTENTION if attention else NEVER_RUNS
        owner = owners.setdefault(id(layer.weight), path)
        if owner != path:
            shared = 'it shares its weights with'
            reasons[path] = f'{shared} {owner}'
            reasons[owner] = f'{shared} {path}'
    if 'predictions' in parts:
        for path in order.last:
            reasons.setdefault(path, 'it makes predictions: classes, boxes or the like')
        for path, layer in layers.items():
            if REFERENCE.search(path) and layer.weight.shape[0] == 2:
                reasons.setdefault(path, 'it gives points of the image, which boxes start from')
    if 'rpn' in parts:
        for path in layers:
            if path.startswith('rpn_head.'):
                reasons.setdefault(path, "it is one of the RPN's own layers")
    first = next((path for path in order.modules if path in layers), None)
    if 'first' in parts and first is not None:
        reasons.setdefault(first, 'it is the first layer')
    return reasons


def _parent(detector: nn.Module, path: str) -> nn.Module:
    return detector.get_submodule(path.rpartition('.')[0])
