"""What single layers cost, worked by hand."""

import time

import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.layer_costs import layer_costs


class Net(nn.Module):
    """Registered in another order than it runs; one layer runs twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.linear = nn.Linear(2, 5)

    def forward(self, image):
        features = self.norm(self.first(image))
        return self.linear((self.last(features) + self.last(features * 2)).mean((2, 3)))


def test_by_hand():
    net = Net().train()
    costs = layer_costs(net, (6, 8))
    assert list(costs) == ['first', 'last', 'linear']
    assert [cost.channels for cost in costs.values()] == [4, 2, 5]
    assert [cost.params for cost in costs.values()] == [4 * 3 * 9 + 4, 4 * 2, 2 * 5 + 5]
    assert [cost.macs for cost in costs.values()] == [4 * 3 * 9 * 48, 2 * 4 * 2 * 48, 2 * 5]
    assert all(cost.ms > 0 for cost in costs.values())
    assert net.training and not any(m._forward_hooks for m in net.modules())


class Slow(nn.Conv2d):
    """Takes 20 milliseconds of the processor, or more."""

    def forward(self, image):
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        return super().forward(image)


def test_time_is_that_of_the_layer():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), Slow(3, 3, 1), nn.Conv2d(3, 3, 1))
    costs = layer_costs(net, (4, 4), runs=1)
    assert costs['1'].ms > 5 * max(costs['0'].ms, costs['2'].ms)


def test_bad_size():
    with pytest.raises(CompressionError, match='input_shape'):
        layer_costs(Net(), (0, 4))
