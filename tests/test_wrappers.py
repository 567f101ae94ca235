"""What mmengine wraps is found inside."""

from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmdet_lcp.wrappers import unwrap


def test_a_plain_model_is_left():
    model = nn.Linear(1, 1)
    assert unwrap(model) is model


def test_the_model_inside_is_found():
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = nn.Linear(1, 1)
    assert unwrap(wrapper) is wrapper.module
