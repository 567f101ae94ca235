"""A detector for peers to prune: the tiny one of the digits, with weights that differ."""

import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp.graph import find_groups
from mmdet_lcp.modes import evaluated


@pytest.fixture(scope='session')
def tiny_ground(tmp_path_factory):
    """The detector, its groups that can be pruned, and the size of its images."""
    folder = tmp_path_factory.mktemp('peer')
    config = tiny.make_config(folder, folder / 'digits')
    torch.manual_seed(0)
    detector = evaluated(MODELS.build(Config.fromfile(config).model))
    size = (64, 64)
    return detector, [group for group in find_groups(detector, size) if not group.obstacle], size
