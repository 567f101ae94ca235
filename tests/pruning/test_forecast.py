"""What goes, told beforehand: the costs are those of a detector that is really pruned."""

import re

import pytest
import torch
from torch import nn

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.measure.cost import detector_cost, layer_macs
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.forecast import Forecast
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.updates import NoUpdate

SIZE = (16, 16)


class Detector(nn.Module):
    """A backbone with a residual block, and a head that costs as much and runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(
            dict(
                stem=nn.Conv2d(3, 16, 3, padding=1),
                inner=nn.Conv2d(16, 8, 3, padding=1),
                outer=nn.Conv2d(8, 16, 3, padding=1),
            )
        )
        self.head = nn.Sequential(nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Conv2d(64, 2, 3))

    def forward(self, x):
        x = self.backbone['stem'](x)
        x = x + self.backbone['outer'](self.backbone['inner'](x).relu())
        return self.head(x), self.head(x[..., ::2, ::2])


@pytest.fixture(scope='module')
def made():
    torch.manual_seed(0)
    detector = Detector().eval()
    return detector, find_groups(detector, SIZE)


def config(**keys) -> RemovalConfig:
    keys = {'ratio': 0.5, 'channel_divisor': 1, **keys}
    return RemovalConfig(criterion=L1Norm(), update=NoUpdate(), **keys)


def pruned(made, stages) -> nn.Module:
    """The first channels stay, by surgery."""
    detector, groups = made
    plan, totals = Plan(), axis_sizes(detector, groups)
    for stage in stages:
        plan = plan.remove(stage.group, range(stage.keep, stage.group.channels), totals)
    torch.manual_seed(0)
    return apply_plan(Detector().eval(), plan)


ALL = dict(layers='.', kinds=('single', 'coupled', 'shared'))


@pytest.mark.parametrize('keys', [{}, ALL, dict(layers='head', kinds=('shared',))])
def test_as_of_a_pruned_detector(made, keys):
    detector, groups = made
    stages, _ = choose_stages(detector, groups, config(**keys))
    after = pruned(made, stages)
    forecast = Forecast(detector, groups, SIZE)
    costs = [detector_cost(d, SIZE) for d in (detector, after)]
    assert forecast.macs_removed(stages) == pytest.approx(
        1 - costs[1]['macs'] / costs[0]['macs'], abs=1e-9
    )
    rows = {
        line.split('|')[1].strip(): re.findall(r'\(([-+.\d]+) %\)', line)
        for line in forecast.table(stages).splitlines()
        if '->' in line
    }
    assert list(rows) == ['backbone', 'whole detector']
    for name, root in (('backbone', 'backbone.'), ('whole detector', '')):
        both = []
        for model in (detector, after):
            parts = [
                (p, m)
                for p, m in model.named_modules()
                if isinstance(m, nn.Conv2d) and p.startswith(root)
            ]
            macs = layer_macs(model, SIZE)
            both.append(
                (
                    sum(m.out_channels for _, m in parts),
                    sum(sum(macs[p].values()) for p, _ in parts),
                    sum(w.numel() for _, m in parts for w in m.parameters()),
                )
            )
        expected = [100 * (b / a - 1) for a, b in zip(*both, strict=True)]
        assert [float(text) for text in rows[name]] == pytest.approx(expected, abs=0.06)


def test_little_is_told_with_what_takes_more(made):
    detector, groups = made
    given = config()
    stages, _ = choose_stages(detector, groups, given)
    assert [stage.group.name for stage in stages] == ['backbone.inner']
    text = Forecast(detector, groups, SIZE).warning(stages, given)
    dense = detector_cost(detector, SIZE)['macs']
    share = 1 - detector_cost(pruned(made, stages), SIZE)['macs'] / dense
    assert share < 0.25
    assert text.startswith(f'pruning.ratio=0.5 takes {100 * share:.1f} % of the multiply')
    found = re.findall(r'pruning = dict\((.*)\)  # (\d+) %', text)
    every = ("layers='.', kinds=('single', 'coupled', 'shared')", ALL)
    told = dict(found)
    assert every[0] in told
    more, _ = choose_stages(detector, groups, config(**every[1]))
    share = 1 - detector_cost(pruned(made, more), SIZE)['macs'] / dense
    assert float(told[every[0]]) == pytest.approx(100 * share, abs=0.5)


def test_nothing_is_told_where_enough_goes(made):
    detector, groups = made
    given = config(**ALL)
    stages, _ = choose_stages(detector, groups, given)
    forecast = Forecast(detector, groups, SIZE)
    assert forecast.macs_removed(stages) > 0.5
    assert forecast.warning(stages, given) is None
    assert forecast.warning(stages, config(ratio={'inner': 0.5})) is None


def test_a_plain_network_has_one_row():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    groups = find_groups(net, SIZE)
    stages, _ = choose_stages(net, groups, config(layers='.'))
    lines = [
        line for line in Forecast(net, groups, SIZE).table(stages).splitlines() if '->' in line
    ]
    assert len(lines) == 1 and 'backbone' not in lines[0]
    assert '12 -> 8 (-33.3 %)' in lines[0]
