"""Steps of a group's channels, worked out by hand, and on detectors that are traced."""

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups
from mmdet_lcp.measure import step_table as step_tables
from mmdet_lcp.measure.step_table import Curve, StepTable, shipped_tables
from mmdet_lcp.pruning.channel_steps import AUTO, step_of, step_table
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.pruning.updates import NoUpdate


def steps(net: nn.Module, divisor=AUTO) -> dict[str, tuple[int, int]]:
    """(channels, step) of each group, by name."""
    net = net.eval()
    groups = [group for group in find_groups(net, (16, 16)) if not group.obstacle]
    return {group.name: (group.channels, step_of(net, group, divisor)) for group in groups}


@pytest.mark.parametrize(
    ('channels', 'step'),
    [(2, 1), (3, 1), (4, 2), (7, 2), (8, 4), (31, 4), (32, 8), (40, 8), (256, 8)],
)
def test_of_plain_convolutions(channels, step):
    net = nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 2, 1))
    assert steps(net) == {'0': (channels, step)}
    assert steps(net, 1) == {'0': (channels, 1)}
    assert steps(net, 3) == {'0': (channels, 3)}


def test_depth_wise_layers_count_with_all_their_channels():
    net = nn.Sequential(
        nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, groups=64, padding=1), nn.Conv2d(64, 2, 1)
    )
    assert steps(net) == {'0': (64, 8)}


def test_a_group_of_a_grouped_convolution_is_what_its_kernel_works_on():
    """Four groups: as many go of each, which a unit of four channels is."""

    def net(width):
        return nn.Sequential(
            nn.Conv2d(3, 4 * width, 1),
            nn.ReLU(),
            nn.Conv2d(4 * width, 4 * width, 3, groups=4),
            nn.Conv2d(4 * width, 2, 1),
        )

    for width, step in ((64, 8), (16, 4), (6, 2)):
        found = steps(net(width))
        assert found, width
        for channels, own in found.values():
            assert channels == width  # units, each a channel of each group
            assert own == step


def test_what_is_left_is_a_multiple_everywhere():
    """Whatever number is taken, every convolution's channels step by four at least."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 96, 3, groups=2),
        nn.BatchNorm2d(96), nn.Conv2d(96, 96, 3, groups=96), nn.Conv2d(96, 8, 1), nn.ReLU(),
        nn.Conv2d(8, 2, 1),
    ).eval()  # fmt: skip
    for group in find_groups(net, (16, 16)):
        if group.obstacle:
            continue
        step = step_of(net, group, AUTO)
        for member in (*group.producers, *group.consumers):
            module = net.get_submodule(member.path)
            each = len(member.index) // group.channels
            assert (step * each // module.groups) % 4 == 0


def flat(kind: str, axis: str, times, first: int = 48) -> Curve:
    """A curve over 17 numbers of channels, from a function of the number."""
    numbers = range(first, first + 17)
    return Curve(kind, axis, f'{kind} {axis}', tuple(numbers), tuple(map(times, numbers)))


def ceil_to(step: int):
    return lambda number: -(-number // step) * step / 10


def table(*curves: Curve) -> StepTable:
    return StepTable('onnxruntime', '1', 'here', 1, '2026-01-01', curves)


class TestMeasured:
    """Blocks of 8 inputs for depth-wise layers, of 4 for 1x1, of 16 outputs."""

    @pytest.fixture
    def own(self) -> StepTable:
        def slow_off_8(number):
            return number / 10 * (1 if number % 8 == 0 else 5)

        def slow_off_4(number):
            return number / 10 * (1 if number % 4 == 0 else 1.3)

        return table(
            flat('depthwise', 'in_channels', slow_off_8),
            flat('1x1', 'in_channels', slow_off_4),
            flat('1x1', 'out_channels', ceil_to(16)),
        )

    @pytest.mark.parametrize(('channels', 'step'), [(64, 16), (256, 16), (48, 4), (8, 4), (7, 2)])
    def test_of_plain_convolutions(self, own, channels, step):
        """Outputs come in blocks of 16 where four of them fit; what is never slower otherwise."""
        net = nn.Sequential(nn.Conv2d(3, channels, 1), nn.ReLU(), nn.Conv2d(channels, 2, 1))
        (group,) = (g for g in find_groups(net.eval(), (16, 16)) if not g.obstacle)
        assert step_of(net, group, AUTO, own) == step
        assert step_of(net, group, 3, own) == 3

    def test_a_depth_wise_layer_steps_by_its_own(self, own):
        net = nn.Sequential(
            nn.Conv2d(3, 40, 1), nn.Conv2d(40, 40, 3, groups=40), nn.Conv2d(40, 2, 1)
        )
        (group,) = (g for g in find_groups(net.eval(), (16, 16)) if not g.obstacle)
        assert step_of(net, group, AUTO, own) == 8
        assert step_of(net, group, AUTO, table(own.curves[1])) == 4

    def test_a_group_of_a_grouped_convolution(self):
        """Units of two channels, one of each group: eight of each group are eight units."""
        own = table(flat('grouped', 'in_channels', ceil_to(8), first=16))
        net = nn.Sequential(
            nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, groups=2), nn.Conv2d(64, 2, 1)
        )
        groups = [g for g in find_groups(net.eval(), (16, 16)) if not g.obstacle]
        assert [(g.channels, step_of(net, g, AUTO, own)) for g in groups] == [(32, 8), (32, 8)]

    def test_no_choice_is_slower_than_the_next_larger_one(self):
        """With the tables of the package, for every kind of layer that they know.

        The next one with a further factor of two: single odd numbers were measured badly.
        """
        for shipped in shipped_tables():
            for curve in shipped.curves:
                step, fast = shipped.steps(curve.kind, curve.axis)
                assert fast % step == 0
                ms = dict(zip(curve.channels, curve.ms, strict=True))
                for number in (n for n in ms if n % step == 0 and n % 16):
                    twos = number & -number
                    larger = number + twos  # the next multiple of twice as much
                    assert ms[number] <= ms[larger] * 1.04, (shipped.runtime, curve.layer, number)


class TestWhichTable:
    def test_none_without_a_runtime(self):
        assert step_table(None, None) is None

    def test_the_users_own(self, tmp_path):
        own = table(flat('1x1', 'in_channels', ceil_to(4)))
        own.write(tmp_path / 'mine.json')
        path = str(tmp_path / 'mine.json')
        assert step_table('onnxruntime', path) == own == step_table(None, path)
        with pytest.raises(
            CompressionError, match=r'has the steps of onnxruntime, and .* is ncnn'
        ):
            step_table('ncnn', path)

    def test_the_packages(self):
        for runtime in {own.runtime for own in shipped_tables()}:
            found = step_table(runtime, None)
            assert found is None or found.runtime == runtime

    def test_of_the_device_that_a_latency_table_is_of(self, tmp_path, monkeypatch):
        """In either form of such a table; a file that is none says nothing of its processor."""
        one = flat('1x1', 'in_channels', ceil_to(4))
        board = StepTable('ncnn', '1', 'Board (aarch64 NEON)', 4, '2026-01-01', (one,))
        here = StepTable('ncnn', '1', 'Here (x86_64 AVX2)', 1, '2026-01-01', (one,))
        monkeypatch.setattr(step_tables, 'shipped_tables', lambda: (here, board))
        monkeypatch.setattr('mmdet_lcp.measure.on_device.processor', lambda: here.processor)
        path = tmp_path / 'times.json'
        path.write_text('{"device": "Pi, Model 5 (aarch64 NEON), 4 threads, ncnn 1.0"}')
        assert step_table('ncnn', None, str(path)) is board
        path.write_text('{"device": "Phone (riscv64), 4 threads, ncnn 1.0"}')
        assert step_table('ncnn', None, str(path)) is None
        path.write_text('{}')
        assert step_table('ncnn', None, str(path)) is step_table('ncnn', None) is here


class TestConfig:
    """Keys of `pruning` that say which steps."""

    def config(self, **keys):
        return RemovalConfig(criterion=L1Norm(), update=NoUpdate(), **keys)

    def test_the_targets_runtime_counts_too(self):
        for keys in (dict(runtime='ncnn'), dict(target=Target(latency=0.5, runtime='ncnn'))):
            config = self.config(**keys)
            config.check()
            assert config.steps() is step_table('ncnn', None)

    @pytest.mark.parametrize(
        ('keys', 'message'),
        [
            (dict(runtime='ncn'), "runtime='ncn': there is no such runtime"),
            (
                dict(runtime='mnn', target=Target(latency=0.5, runtime='ncnn')),
                r"runtime='mnn' and pruning\.target\.runtime='ncnn' differ",
            ),
            (dict(step_table='x.json', channel_divisor=8), "channel_divisor='auto' only"),
            (dict(step_table='none.json'), r'none\.json: the steps cannot be read'),
        ],
    )
    def test_wrong(self, keys, message):
        with pytest.raises(CompressionError, match=message):
            self.config(**keys).check()
