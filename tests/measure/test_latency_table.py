"""The latency table, on a made-up clock: nothing here depends on how fast the machine is."""

import json
import re

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.latency_table import (
    LatencyTable,
    LayerShape,
    device_name,
    layer_calls,
    time_layer,
    widths,
)

CPU = torch.device('cpu')


def made_up(module: nn.Module, inputs: torch.Tensor) -> float:
    """Bilinear in the widths, so that interpolation must be exact."""
    outs, ins = module.weight.shape[:2]
    pixels = inputs.numel() / inputs.shape[1]
    return 0.5 + pixels * (0.01 * ins * outs + 0.1 * outs + 0.02 * ins)


@pytest.fixture
def shape() -> LayerShape:
    return LayerShape.of(nn.Conv2d(16, 32, 3, padding=1), torch.zeros(1, 16, 4, 6))


@pytest.fixture
def table(shape, tmp_path) -> LatencyTable:
    table = LatencyTable('here', tmp_path / 'sub' / 'latency_table.json')
    table.measure(shape, widths(2, 16), widths(4, 32), CPU, made_up)
    return table


@pytest.mark.parametrize(
    ('smallest', 'largest', 'expected'),
    [(10, 100, [10, 40, 70, 100]), (1, 2, [1, 2]), (5, 5, [5]), (1, 4, [1, 2, 3, 4])],
)
def test_widths(smallest, largest, expected):
    assert widths(smallest, largest) == expected


@pytest.mark.parametrize('ins', [2, 3, 7.5, 16])
@pytest.mark.parametrize('outs', [4, 11, 32])
def test_between_the_widths_it_is_interpolated(table, shape, ins, outs):
    expected = 0.5 + 24 * (0.01 * ins * outs + 0.1 * outs + 0.02 * ins)
    assert table.ms(shape, ins, outs) == pytest.approx(expected, rel=1e-12)


def test_only_the_grid_is_timed(shape):
    asked = []

    def timer(module, inputs):
        assert not module.training
        assert module.in_channels == inputs.shape[1]
        asked.append((module.in_channels, module.out_channels, tuple(inputs.shape[2:])))
        return 1.0

    LatencyTable('here').measure(shape, [2, 16], [4, 8, 32], CPU, timer)
    assert asked == [(i, o, (4, 6)) for i in (2, 16) for o in (4, 8, 32)]


def test_a_narrower_layer_takes_no_longer(shape):
    """Of a time that something else has spoilt, the wider layer's is the better guess."""
    spoilt = {(1, 1): 1.0, (1, 2): 9.0, (1, 3): 4.0, (2, 1): 2.0, (2, 2): 3.0, (2, 3): 5.0}
    table = LatencyTable('here')
    table.measure(
        shape, [1, 2], [1, 2, 3], CPU, lambda m, _: spoilt[m.in_channels, m.out_channels]
    )
    found = [[table.ms(shape, i, o) for o in (1, 2, 3)] for i in (1, 2)]
    assert found == [[1.0, 3.0, 4.0], [2.0, 3.0, 5.0]]


@pytest.mark.parametrize(
    ('module', 'inputs', 'text'),
    [
        (
            nn.Conv2d(8, 12, (1, 3), stride=2, dilation=(1, 2), bias=False),
            (2, 8, 9, 11),
            'Conv2d 8->12 kernel_size=1x3 stride=2x2 padding=0x0 dilation=1x2 '
            'bias=False on 2x9x11',
        ),
        (
            nn.Conv2d(8, 12, 3, groups=4),
            (1, 8, 5, 5),
            'Conv2d 8->12 .*bias=True group=2x3 on 1x5x5',
        ),
        (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 5, 5), 'Conv2d 8->8 .*group=1x1 on 1x5x5'),
        (
            nn.ConvTranspose2d(8, 12, 2, stride=2, output_padding=1),
            (1, 8, 5, 5),
            'ConvTranspose2d 8->12 .*output_padding=1x1 .*',
        ),
        (nn.Conv1d(8, 12, 3), (1, 8, 20), 'Conv1d 8->12 .* on 1x20'),
        (nn.Linear(8, 12), (3, 5, 8), 'Linear 8->12 bias=True on 15'),
    ],
)
def test_shapes_are_built_anew_as_they_were(module, inputs, text):
    shape = LayerShape.of(module, torch.zeros(inputs))
    assert re.fullmatch(text, str(shape))
    ins, outs = shape.channels
    again, size = shape.build(ins, outs)
    assert type(again) is type(module)
    assert torch.Size(size).numel() == torch.Size(inputs).numel()
    expected, found = module(torch.zeros(inputs)), again(torch.zeros(size))
    assert found.numel() == expected.numel()
    assert again.weight.shape == module.weight.shape
    assert (again.bias is None) == (module.bias is None)
    assert LayerShape.of(again, torch.zeros(size)) == shape


@pytest.mark.parametrize(
    ('groups', 'outs', 'expected'),
    [(8, 6, (3, 3, 6)), (4, 4, (1, 2, 4)), (4, 8, (2, 4, 8)), (4, 5, (2, 4, 8))],
)
def test_a_narrower_grouped_convolution_has_fewer_groups(groups, outs, expected):
    shape = LayerShape.of(nn.Conv2d(8, 16, 3, groups=groups), torch.zeros(1, 8, 5, 5))
    module, size = shape.build(1, outs)
    assert (module.groups, module.in_channels, module.out_channels) == expected
    assert size == (1, expected[1], 5, 5)
    assert module(torch.zeros(size)).shape[1] == expected[2]


@pytest.mark.parametrize(
    ('ins', 'outs', 'expected'), [(8, 16, (8, 16)), (4, 8, (4, 8)), (5, 13, (8, 16))]
)
def test_a_grouped_convolution_of_fewer_inputs_keeps_its_groups(ins, outs, expected):
    shape = LayerShape.of(nn.Conv2d(8, 16, 3, groups=4), torch.zeros(1, 8, 5, 5))
    module, size = shape.build(ins, outs)
    assert (module.groups, module.in_channels, module.out_channels) == (4, *expected)
    assert module(torch.zeros(size)).shape[1] == expected[1]


def test_every_call_counts():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)
            self.fc = nn.Linear(3, 2)
            self.unused = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            x = self.conv(self.conv(x))
            return self.fc(x.mean((2, 3)))

    net = Net().train()
    calls = layer_calls(net, (16, 24))
    assert [(c.path, c.shape.shape, c.elements) for c in calls] == [
        ('conv', (1, 16, 24), 8 * 12),
        ('conv', (1, 8, 12), 4 * 6),
        ('fc', (1,), 1),
    ]
    assert net.training and not any(m._forward_hooks for m in net.modules())


def test_there_and_back(table, shape):
    table.anchors = [dict(measured=3.0, layers=2.0, elements=1.0)]
    table.write()
    again = LatencyTable.read(table.path)
    assert (again.device, again.anchors, list(again)) == ('here', table.anchors, [str(shape)])
    assert again.ms(shape, 5, 9) == table.ms(shape, 5, 9)
    assert not list(table.path.parent.glob('.*'))


def test_what_is_known(table, shape):
    assert table.has(shape, [2, 16], [4, 32])
    assert table.has(shape, [3], [10, 12])
    assert not table.has(shape, [1, 16], [4, 32])
    assert not table.has(shape, [2, 16], [4, 33])
    other = LayerShape.of(nn.Conv2d(16, 32, 1), torch.zeros(1, 16, 4, 6))
    assert not table.has(other, [2, 16], [4, 32])
    with pytest.raises(CompressionError, match='has no times of Conv2d 16->32 kernel_size=1x1'):
        table.ms(other, 2, 4)


@pytest.mark.parametrize(
    'change',
    [
        lambda data: data.pop('device'),
        lambda data: data.update(version=99),
        lambda data: next(iter(data['layers'].values()))['in'].pop(),
        lambda data: next(iter(data['layers'].values())).update(ms='soon'),
        lambda data: data.update(layers=[1]),
    ],
)
def test_what_is_no_table(table, change):
    data = json.loads(table.path.read_text())
    change(data)
    table.path.write_text(json.dumps(data))
    with pytest.raises(CompressionError, match=r'latency_table\.json: is no latency table'):
        LatencyTable.read(table.path)


def test_a_file_that_is_cut_short_or_missing(table):
    table.path.write_text(table.path.read_text()[:50])
    with pytest.raises(CompressionError, match='is no latency table'):
        LatencyTable.read(table.path)
    with pytest.raises(CompressionError, match='cannot be read'):
        LatencyTable.read(table.path.with_name('nowhere.json'))


def test_the_clock_runs():
    assert 0 < time_layer(nn.Linear(4, 4), torch.zeros(1, 4)) < 1000


def test_a_device_has_a_name_with_its_threads():
    assert device_name(CPU).endswith(
        f', {torch.get_num_threads()} threads, torch {torch.__version__}'
    )
