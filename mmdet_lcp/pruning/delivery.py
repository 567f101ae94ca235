"""What comes out of a run: a pruned config and its weights, the plan, and nothing of ours.

The pruned config is plain mmdet but for ``model.type``, a factory that returns the detector's
own class.
"""

from pathlib import Path

from mmengine.config import Config
from torch import nn

from mmdet_lcp.config.handed_out import RETRAINED, handed_out_config
from mmdet_lcp.config.names import named_config
from mmdet_lcp.files import write_json, write_text
from mmdet_lcp.graph import Plan
from mmdet_lcp.models.pruned_detector import pruned_model_cfg
from mmdet_lcp.plain_weights import write_weights
from mmdet_lcp.pruning.config import KEY

PRUNED_CONFIG = 'pruned_config.py'
PRUNED_WEIGHTS = 'pruned.pth'
PLAN = 'plan.json'


def pruned_config(cfg: Config, plan: Plan, work_dir: Path, pretty: bool = True) -> Config:
    """The config of the pruned detector: the run's own, with another `model`.

    Training on from it starts at the pruned weights (`load_from`).

    Args:
        cfg: the pruning run's config.
        plan: what stays.
        work_dir: the run's folder.
        pretty: as `handed_out_config` takes it.
    """
    model = pruned_model_cfg(named_config(cfg).to_dict()['model'], plan)
    return handed_out_config(
        cfg, (KEY,), work_dir / PRUNED_WEIGHTS, work_dir / RETRAINED, model, pretty
    )


def deliver(cfg: Config, detector: nn.Module, plan: Plan, work_dir: Path, meta: dict) -> int:
    """Write config, weights and plan, each atomically.

    Args:
        cfg: the pruning run's config.
        detector: the pruned detector.
        plan: what stays.
        work_dir: folder to write to.
        meta: goes into the checkpoint; plain data (``dataset_meta`` with the class names).

    Returns:
        Size of the weights' file in bytes.
    """
    write_json(work_dir / PLAN, plan.to_dict())
    write_weights(work_dir / PRUNED_WEIGHTS, detector.state_dict(), meta)
    write_text(work_dir / PRUNED_CONFIG, pruned_config(cfg, plan, work_dir).pretty_text)
    return (work_dir / PRUNED_WEIGHTS).stat().st_size
