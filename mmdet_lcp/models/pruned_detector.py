"""Rebuild a pruned detector from its config: a plain mmdet detector with fewer channels."""

from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan
from mmdet_lcp.registry import MODELS

TYPE = 'mmdet_lcp.PrunedDetector'


@MODELS.register_module(name='PrunedDetector')
def pruned_detector(detector: str, plan: dict[str, Any], **keys: Any) -> nn.Module:
    """Build a detector and apply a plan to it; what is returned is the detector's own class.

    In a config: ``model=dict(type='mmdet_lcp.PrunedDetector', detector='SingleStageDetector',
    plan=dict(...), backbone=..., ...)``, with the detector's keys as they were.

    Args:
        detector: the detector's type in mmdet's registry.
        plan: a plan as `Plan.to_dict` gives it (also the content of ``plan.json``).
        keys: the detector's own keys.

    Raises:
        CompressionError: the plan does not fit the detector.
    """
    if MMDET_MODELS.get(detector) is None:
        raise CompressionError(f'model.detector={detector!r} is not registered in mmdet')
    plain = MMDET_MODELS.build(dict(type=detector, **keys))
    apply_plan(plain, Plan.from_dict(plan))
    # Weights of the unpruned detector would not fit: `init_weights` must not fetch them.
    for module in plain.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        if _is_pretrained(init_cfg):
            module.init_cfg = None
        elif isinstance(init_cfg, (list, tuple)):
            module.init_cfg = [item for item in init_cfg if not _is_pretrained(item)]
    return plain


def pruned_model_cfg(model: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The `model` config of a pruned detector.

    Args:
        model: config of the detector that the plan was made on; it may itself be a pruned one.
        plan: what stays of it.
    """
    model = _without_pretrained(model)
    if model['type'] == TYPE:
        plan = Plan.from_dict(model['plan']).then(plan)
        detector = model['detector']
    else:
        detector = model['type']
    rest = {key: v for key, v in model.items() if key not in ('type', 'detector', 'plan')}
    return dict(type=TYPE, detector=detector, plan=plan.to_dict(compact=True), **rest)


def _without_pretrained(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_pretrained(item)
            for key, item in value.items()
            if not _is_pretrained(item)
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_without_pretrained(item) for item in value if not _is_pretrained(item))
    return value


def _is_pretrained(init_cfg: Any) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'
