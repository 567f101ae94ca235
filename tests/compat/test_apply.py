"""Fixes may be applied again."""

import torch

from mmdet_lcp import compat
from mmdet_lcp.compat.checkpoint_reading import torch_version


def test_apply_is_idempotent():
    from mmdet.models.dense_heads import SSDHead
    from mmengine.model import MMDistributedDataParallel

    before = SSDHead.__init__, MMDistributedDataParallel.__init__
    known = len(torch.serialization.get_safe_globals()) if torch_version() >= (2, 6) else 0
    compat.apply()
    assert (SSDHead.__init__, MMDistributedDataParallel.__init__) == before
    if known:
        assert len(torch.serialization.get_safe_globals()) == known
