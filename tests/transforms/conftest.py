import pytest
import torch
from torch import nn

from mmdet_lcp.transforms import BinaryInput, XNORWeight, attach, attach_input


@pytest.fixture
def model() -> nn.Module:
    """Two convolutions, the upper one with a transform of its weights and one of its input."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    attach(model[2], XNORWeight())
    attach_input(model[2], BinaryInput.for_layer(model[2], scaling=True))
    return model
