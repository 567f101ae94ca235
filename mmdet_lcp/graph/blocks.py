"""Stages of a backbone as its paper counts them: conv1-x, conv2-x, ...

A stage is what the backbone itself declares: residual layers after the stem
(ResNet and its relatives), or the convolutions between two poolings (VGG).
"""

from torch import nn

from mmdet_lcp.errors import CompressionError

BACKBONE = 'backbone.'


def stage_of(detector: nn.Module, path: str) -> int | None:
    """The stage of the backbone that a layer belongs to, counted from 1.

    Args:
        detector: a plain mmdet detector.
        path: module path in the detector.

    Returns:
        The stage, or ``None`` for a layer outside of the backbone.

    Raises:
        CompressionError: the backbone declares no stages.
    """
    if not path.startswith(BACKBONE):
        return None
    inside = path[len(BACKBONE) :]
    backbone = detector.backbone
    residual = getattr(backbone, 'res_layers', None)
    if residual:
        first = inside.split('.')[0]
        return residual.index(first) + 2 if first in residual else 1
    parts = inside.split('.')
    if parts[0] in getattr(backbone, 'stage_names', ()):
        return backbone.stage_names.index(parts[0]) + 1
    features = getattr(backbone, getattr(backbone, 'module_name', 'features'), None)
    if isinstance(features, nn.Sequential) and parts[1:] and parts[1].isdigit():
        before = list(features)[: int(parts[1])]
        return 1 + sum(isinstance(module, nn.MaxPool2d) for module in before)
    raise CompressionError(
        f'pruning.stages: {type(backbone).__name__} declares no stages; choose the layers with '
        'a regular expression in pruning.layers'
    )
