"""Rebuild a pruned detector from its config: a plain mmdet detector with fewer channels."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from mmdet_lcp.config.pretrained import is_pretrained, without_pretrained
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan
from mmdet_lcp.registry import MODELS

TYPE = 'mmdet_lcp.PrunedDetector'
# Keys of the factories; a detector's own keys of these names are kept under the last one.
RESERVED = ('detector', 'plan', 'inputs', 'own')
OWN = RESERVED[-1]


@MODELS.register_module(name='PrunedDetector')
def pruned_detector(detector: str, plan: dict[str, Any], **keys: Any) -> nn.Module:
    """Build a detector and apply a plan to it; what is returned is the detector's own class.

    In a config: ``model=dict(type='mmdet_lcp.PrunedDetector', detector='SingleStageDetector',
    plan=dict(...), backbone=..., ...)``, with the detector's keys as they were.

    Args:
        detector: the detector's type in mmdet's registry.
        plan: a plan as `Plan.to_dict` gives it (also the content of ``plan.json``).
        keys: the detector's own keys; those that are named like keys of this factory in `own`.

    Raises:
        CompressionError: the plan does not fit the detector.
    """
    plain = build_detector(detector, keys)
    apply_plan(plain, Plan.from_dict(plan))
    # Weights of the unpruned detector would not fit: `init_weights` must not fetch them.
    for module in plain.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        if is_pretrained(init_cfg):
            module.init_cfg = None
        elif isinstance(init_cfg, (list, tuple)):
            module.init_cfg = [item for item in init_cfg if not is_pretrained(item)]
    return plain


def build_detector(detector: str, keys: Mapping[str, Any]) -> nn.Module:
    """Build a detector by its type, which is looked up where mmengine does: in the default scope.

    Args:
        detector: its registered name or import path.
        keys: its own keys, as `pruned_detector` takes them.

    Raises:
        CompressionError: there is no such detector.
    """
    with MMDET_MODELS.switch_scope_and_registry(None) as registry:
        try:
            known = registry.get(detector)
        except RuntimeError:  # mmengine's word for a name that leads nowhere
            known = None
        if known is None:
            raise CompressionError(
                f'model.detector={detector!r} is not registered in {registry.scope}. A detector '
                'of your own is registered when the config imports its module, custom_imports = '
                "dict(imports=['my_module']), and says default_scope of its registry"
            )
    own = {key: value for key, value in keys.items() if key != OWN}
    return MMDET_MODELS.build({**own, **(keys.get(OWN) or {}), 'type': detector})


def own_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a detector's config, without its type, as `pruned_detector` takes them.

    Args:
        model: the detector's config, with its type.
    """
    keys = {key: value for key, value in model.items() if key not in ('type', *RESERVED)}
    own = {key: model[key] for key in RESERVED if key in model}
    return {**keys, OWN: own} if own else keys


def pruned_model_cfg(model: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The `model` config of a pruned detector.

    Args:
        model: config of the detector that the plan was made on; it may itself be a pruned one.
        plan: what stays of it.
    """
    model = without_pretrained(model)
    if model['type'] == TYPE:
        plan = Plan.from_dict(model['plan']).then(plan)
        detector = model['detector']
        rest = {key: v for key, v in model.items() if key not in ('type', 'detector', 'plan')}
    else:
        detector, rest = model['type'], own_keys(model)
    return dict(type=TYPE, detector=detector, plan=plan.to_dict(compact=True), **rest)
