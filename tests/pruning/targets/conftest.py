"""Detectors to share a target out on: two real ones, and one whose costs a hand can count."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

import mmdet_lcp  # noqa: F401
from mmdet_lcp.graph import ChannelGroup, Member, find_groups
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.targets.allocation import smallest

MODEL_CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'models'
SIZE = (96, 96)


@dataclass
class Case:
    """A detector, the size of its images, and the groups that can be pruned."""

    detector: nn.Module
    size: tuple[int, int]
    groups: list[ChannelGroup]

    @property
    def channels(self) -> list[int]:
        return [group.channels for group in self.groups]

    def stages(self, divisor: int = 1, least: int = 1, max_ratio: float = 0.9) -> list[Stage]:
        """As `choose_stages` makes them for a target."""
        found = []
        for group in self.groups:
            count = smallest(group.channels, divisor, least, max_ratio)
            if count < group.channels:
                found.append(Stage(group, count, count, divisor, count))
        return found


def real(name: str) -> Case:
    torch.manual_seed(0)
    detector = MODELS.build(Config.fromfile(MODEL_CONFIGS / f'{name}.py').model).eval()
    groups = [group for group in find_groups(detector, SIZE) if group.obstacle is None]
    return Case(detector, SIZE, groups)


@pytest.fixture(scope='session')
def vgg() -> Case:
    """All 13 convolutions of the backbone, the extra layers and what reads them."""
    return real('ssd_narrow_vgg')


@pytest.fixture(scope='session')
def r18() -> Case:
    """The channels inside the blocks; those between stay."""
    return real('ssd_r18_narrow')


@pytest.fixture(scope='session')
def shufflenet() -> Case:
    """Grouped convolutions that lose equally many channels of each group."""
    return real('ssd_shufflenet_v1_small')


class Net(nn.Module):
    """All that makes costs depend on groups, on images of (16, 16).

    ``a`` writes 6 channels, which a norm, resizing to (32, 32), a depth-wise convolution, ``b``
    and a pooling to (2, 2) with a linear layer behind it read. ``b`` writes 4, which ``shared``
    reads twice, at two sizes, the second time beside two more channels of the image that are
    always there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, stride=2, padding=1)  # (8, 8)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)  # (16, 16)
        self.b = nn.Conv2d(6, 4, 1)  # (16, 16)
        self.shared = nn.Conv2d(6, 5, 3, padding=1)  # (16, 16) and (8, 8)
        self.fc = nn.Linear(24, 7)

    def forward(self, x: torch.Tensor, **_) -> torch.Tensor:
        a = F.interpolate(self.norm(self.a(x)).relu(), scale_factor=2, mode='nearest')
        deep = self.depthwise(a)
        two = F.interpolate(x[:, :2], size=(16, 16), mode='nearest')
        b = torch.cat([two, self.b(deep).relu()], 1)
        first = self.shared(b)
        second = self.shared(F.max_pool2d(b, 2))
        pooled = F.adaptive_avg_pool2d(deep, (2, 2)).flatten(1)
        return first.sum() + second.sum() + self.fc(pooled).sum()


@pytest.fixture
def net() -> Case:
    torch.manual_seed(0)
    six, four = tuple(range(6)), tuple(range(4))
    a = ChannelGroup(
        'a',
        6,
        producers=(Member('a', 'out_channels', six, six),),
        norms=(
            Member('norm', 'out_channels', six, six),
            Member('depthwise', 'out_channels', six, six),
        ),
        consumers=(
            Member('b', 'in_channels', six, six),
            Member('fc', 'in_channels', tuple(range(24)), tuple(i // 4 for i in range(24))),
        ),
    )
    b = ChannelGroup(
        'b',
        4,
        producers=(Member('b', 'out_channels', four, four),),
        norms=(),
        consumers=(Member('shared', 'in_channels', tuple(i + 2 for i in four), four),),
    )
    return Case(Net().eval(), (16, 16), [a, b])
