"""From measured damages to ratios, against brute force."""

import itertools
import json
import math
import re

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.ratio_file import read_ratios
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.targets.by_sensitivity import (
    as_ratios,
    damage_points,
    share_by_sensitivity,
    slopes,
)
from mmdet_lcp.pruning.targets.cost_model import first_channels, macs_model
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.report.sensitivity import Sensitivity, SensitivityCell


def made(losses: dict[str, dict[int, float]], channels: dict[str, int]) -> Sensitivity:
    """From the loss by channels that stay; the dense one's is 1."""
    cells = [
        SensitivityCell(name, 1 - kept / channels[name], kept, {'loss': loss}, 0.1)
        for name, by_kept in losses.items()
        for kept, loss in by_kept.items()
    ]
    return Sensitivity(channels, {}, {'loss': 1.0}, cells)


def test_points_and_slopes():
    found = made({'a': {2: 2.0, 6: 1.1}}, {'a': 8})
    points = damage_points(found, 'a', 'loss')
    assert points == [(0, 0.0), (2, pytest.approx(0.1)), (6, pytest.approx(1.0))]
    assert slopes(points) == pytest.approx([0.05] * 2 + [0.225] * 4)


def test_what_broke_the_detector_is_out_of_reach():
    found = made({'a': {6: 1.1, 4: math.nan, 2: 1.2}}, {'a': 8})
    assert [removed for removed, _ in damage_points(found, 'a', 'loss')] == [0, 2]
    found = made({'a': {6: math.inf}}, {'a': 8})
    with pytest.raises(CompressionError, match='a has no finite measurement'):
        damage_points(found, 'a', 'loss')


def test_ratios_come_back_as_the_same_numbers(vgg):
    """Through the file, the regular expressions and the runner's rounding."""
    counts = {g.name: max(1, (7 * i + 3) % g.channels) for i, g in enumerate(vgg.groups)}
    first = vgg.groups[0]
    counts[first.name] = first.channels
    channels = {group.name: group.channels for group in vgg.groups}
    ratios = as_ratios(Allocation('macs', 0.5, 0.5, 0.1, 1.0, counts), channels)
    assert not any(re.search(pattern, first.name) for pattern in ratios)
    config = RemovalConfig(
        criterion=None,
        update=None,
        layers='.',
        ratio=json.loads(json.dumps(ratios)),
        channel_divisor=1,
    )
    stages, skipped = choose_stages(vgg.detector, vgg.groups, config)
    assert {stage.group.name: stage.keep for stage in stages} == {
        name: count for name, count in counts.items() if name != first.name
    }
    assert [item.name for item in skipped] == [first.name]


def share(case, found, target, folder):
    stages = {stage.group.name: stage for stage in case.stages()}
    return share_by_sensitivity(
        found, target, stages, case.detector, case.size, folder, lambda _: None
    )


def test_no_sharing_out_loses_less(net, tmp_path):
    """Of all numbers of channels with so many multiply-accumulates at most."""
    found = made({'a': {4: 1.05, 2: 1.2}, 'b': {2: 1.3, 1: 1.9}}, {'a': 6, 'b': 4})
    costs = {name: slopes(damage_points(found, name, 'loss')) for name in ('a', 'b')}
    model = macs_model(net.detector, net.groups, net.size)
    dense = model.total([6, 4])
    for asked in (0.5, 0.6, 0.7, 0.85):
        allocation = share(net, found, Target(macs=asked), tmp_path)
        damage = {
            (a, b): sum(costs['a'][: 6 - a]) + sum(costs['b'][: 4 - b])
            for a, b in itertools.product(range(2, 7), range(1, 5))
            if model.total([a, b]) <= asked * dense
        }
        counts = (allocation.counts['a'], allocation.counts['b'])
        assert damage[counts] == pytest.approx(min(damage.values())), asked


def test_the_file_reaches_the_target(vgg, tmp_path):
    channels = {group.name: group.channels for group in vgg.groups}
    losses = {
        name: {n // 2: 1.01 + 0.02 * i, n // 4: 1.1 + 0.1 * i}
        for i, (name, n) in enumerate(channels.items())
    }
    found = made(losses, channels)
    allocation = share(vgg, found, Target(macs=0.5), tmp_path)
    ratios = read_ratios(str(tmp_path / 'ratios.json'))
    counts = []
    for name, n in channels.items():
        ratio = next((r for pattern, r in ratios.items() if re.search(pattern, name)), 0.0)
        counts.append(round(n * (1 - ratio)))
    pruned = detector_cost(first_channels(vgg.detector, vgg.groups, counts), vgg.size)
    reached = pruned['macs'] / detector_cost(vgg.detector, vgg.size)['macs']
    assert 0.49 < reached <= 0.5
    assert allocation.predicted == pytest.approx(reached)


def test_no_further_than_what_was_measured(vgg, tmp_path):
    channels = {group.name: group.channels for group in vgg.groups}
    found = made({name: {n // 2: 1.1} for name, n in channels.items()}, channels)
    with pytest.raises(CompressionError, match='measure with a larger one among --ratios') as e:
        share(vgg, found, Target(macs=0.1), tmp_path)
    assert '-> 8' in str(e.value)
    assert not (tmp_path / 'ratios.json').exists()
