"""What all cells stand on: the detector's groups and the length of an epoch."""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmdet_lcp.engine.preflight import check_yields, readable
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, find_groups
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.modes import evaluated
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.targets.cost_model import CostModel, macs_model
from mmdet_lcp.pruning.targets.planner import TargetPlanner
from mmdet_lcp.pruning.targets.target import Target


@dataclass
class Ground:
    """Facts of a config that are found by building its detector and its data sets once.

    Attributes:
        detector: the dense detector, weights not loaded.
        groups: all its groups of channels.
        image_size: (height, width) in pixels of the images it is measured on.
        epoch_length: training iterations an epoch, >= 1.
        models: of the multiply-accumulates, by the names of the groups; each is counted once.
    """

    detector: nn.Module
    groups: list[ChannelGroup]
    image_size: tuple[int, int]
    epoch_length: int
    models: dict[tuple[str, ...], CostModel] = field(default_factory=dict, repr=False)

    def stages(self, pruning: PruningConfig) -> list[Stage]:
        """The groups that a config prunes, and how many channels of each stay."""
        return choose_stages(self.detector, self.groups, pruning)[0]

    def check_target(self, target: Target, stages: Sequence[Stage]) -> None:
        """Raise a `CompressionError` if the multiply-accumulates cannot be reached."""
        groups = [stage.group for stage in stages]
        names = tuple(group.name for group in groups)
        if names not in self.models:
            self.models[names] = macs_model(self.detector, groups, self.image_size)
        TargetPlanner(
            target,
            stages,
            self.detector,
            self.image_size,
            Path(),
            lambda _: None,
            model=self.models[names],
        )


def prepare_ground(cfg: Config) -> Ground:
    """Build the detector and the data sets of a config.

    Raises:
        CompressionError: a file of the data cannot be read, or the detector not be traced.
    """
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    detector = evaluated(MODELS.build(copy.deepcopy(cfg.model)))
    name = next((n for n in ('test_dataloader', 'val_dataloader') if cfg.get(n) is not None), None)
    if name is None or not isinstance(cfg.get('train_dataloader'), dict):
        raise CompressionError(
            'the config needs a `train_dataloader`, and a `test_dataloader` or `val_dataloader`: '
            "inherit the detector's own config"
        )
    with readable(name):
        item = pseudo_collate([_loader(cfg, name).dataset[0]])
    with torch.no_grad():
        inputs = detector.data_preprocessor(item, False)['inputs']
    size = tuple(inputs.shape[-2:])
    with readable('train_dataloader'):
        loader = _loader(cfg, 'train_dataloader')
    check_yields('train_dataloader', loader)
    return Ground(detector, find_groups(detector, size), size, len(loader))


def _loader(cfg: Config, name: str) -> DataLoader:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what nobody asked for
        return Runner.build_dataloader(copy.deepcopy(cfg[name]), seed=0)
