"""Which batch norm reads which convolution's output."""

import torch
from torch import nn

from mmdet_lcp.graph.following_norms import following_norms


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.apart = nn.Conv2d(4, 4, 1)
        self.late = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.first = nn.BatchNorm2d(4)
        self.second = nn.BatchNorm2d(4)
        self.moments = nn.BatchNorm2d(4, track_running_stats=False)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x, mode):
        x = self.norm(self.plain(x))
        x = self.late(self.apart(x).relu())
        x = self.first(self.shared(x)) + self.second(self.shared(x))
        return self.moments(self.last(x))


def test_direct_readers_alone():
    net = Net().train()
    net.norm.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert following_norms(net, (8, 8)) == {'plain': 'norm'}
    assert net.training and not net.norm.training and net.late.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
