"""Rebuild a detector whose layers read binary inputs: BinaryNet's and XNOR-Net's.

The batch norms and signs in front of the layers are part of that network, so the config has to say
where they are. All else is the detector's own.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.models.pruned_detector import TYPE as PRUNED
from mmdet_lcp.models.pruned_detector import build_detector, own_keys, pruned_detector
from mmdet_lcp.registry import MODELS
from mmdet_lcp.transforms import rebuild_inputs

TYPE = 'mmdet_lcp.BinaryInputDetector'


@MODELS.register_module(name='BinaryInputDetector')
def binary_input_detector(
    detector: str,
    inputs: Mapping[str, Mapping[str, Any]],
    plan: dict[str, Any] | None = None,
    **keys: Any,
) -> nn.Module:
    """Build a detector and put the input transforms on its layers.

    In a config: ``model=dict(type='mmdet_lcp.BinaryInputDetector', detector='SingleStageDetector',
    inputs={'backbone.stage2.0.conv': dict(type='BinaryInput', scaling=True), ...},
    backbone=..., ...)``, with the detector's keys as they were; a pruned detector's `plan` too.

    Args:
        detector: the detector's type in mmdet's registry.
        inputs: `InputTransform.spec` by the path of the layer.
        plan: of a pruned detector, as `pruned_detector` takes it.
        keys: the detector's own keys, as `pruned_detector` takes them.

    Raises:
        CompressionError: `inputs` or `plan` does not fit the detector.
    """
    if plan is not None:
        plain = pruned_detector(detector, plan, **keys)
    else:
        plain = build_detector(detector, keys)
    try:
        rebuild_inputs(plain, inputs)
    except CompressionError as error:
        raise CompressionError(f'model.inputs: {error}') from error
    return plain


def binary_input_model_cfg(
    model: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The `model` config of a detector with input transforms.

    Args:
        model: config of the detector; it may be pruned, or have input transforms already.
        inputs: all that the detector has now, by the path of the layer; without any, the config
            stays as it is.
    """
    if not inputs:
        return dict(model)
    if model['type'] in (TYPE, PRUNED):
        detector = model['detector']
        rest = {key: v for key, v in model.items() if key not in ('type', 'detector', 'inputs')}
    else:
        detector, rest = model['type'], own_keys(model)
    specs = {path: dict(spec) for path, spec in inputs.items()}
    return dict(type=TYPE, detector=detector, inputs=specs, **rest)
