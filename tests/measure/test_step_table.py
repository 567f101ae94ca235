"""Steps from curves that are made up, worked out by hand; and from files."""

import json

import numpy as np
import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.step_table import (
    AXES,
    KINDS,
    Curve,
    StepTable,
    layer_kind,
    shipped_tables,
    table_for,
)

NUMBERS = tuple(range(48, 65))


def curve(times, kind='1x1', axis='in_channels') -> Curve:
    return Curve(kind, axis, 'made', NUMBERS, tuple(times(number) for number in NUMBERS))


def table(*curves, runtime='onnxruntime', processor='Chip (x86_64 AVX2)') -> StepTable:
    return StepTable(runtime, '1.0', processor, 1, '2026-01-01', curves)


@pytest.mark.parametrize(
    ('times', 'steps'),
    [
        (lambda n: n, (1, 1)),
        (lambda n: -(-n // 4) * 4, (1, 1)),  # 52/49, 52/50, 52/51: 3 % on the average
        (lambda n: -(-n // 16) * 16, (1, 16)),  # never slower, but 56 costs as much as 64
        (lambda n: n * (1 if n % 4 == 0 else 1.3), (4, 4)),
        (lambda n: n * (1 if n % 2 == 0 else 1.3), (2, 2)),
        (lambda n: n * (1 if n % 16 == 0 else 7), (16, 16)),
        (lambda n: n * (1 + 0.01 * (n % 2)), (1, 1)),  # noise
    ],
)
def test_steps(times, steps):
    assert table(curve(times)).steps('1x1', 'in_channels') == steps


def test_one_number_that_was_measured_badly_makes_no_step():
    """A dip at an odd number does not make all smaller ones slower."""
    found = curve(lambda n: n * (0.5 if n == 59 else 1))
    assert found.slower() == []
    assert found.dearer()[48] == pytest.approx(1)
    assert table(found).steps('1x1', 'in_channels') == (1, 1)


def test_slower_is_slower_than_a_rounder_one():
    found = curve(lambda n: 100 if n in (53, 60) else n)
    assert found.slower() == [53, 60]


def test_dearer_is_measured_from_the_fastest_around():
    """By hand: a line from 48 to 64, and a number that takes half as long again."""
    found = curve(lambda n: n * (1.5 if n == 56 else 1)).dearer()
    assert found[56] == pytest.approx(1.5)
    assert found[52] == pytest.approx(1)
    convex = curve(lambda n: n * n).dearer()
    assert max(convex.values()) < 1.001


def test_the_strictest_of_several_curves_decides():
    loose, strict = curve(lambda n: n), curve(lambda n: n * (1 if n % 8 == 0 else 2))
    assert table(loose, strict).steps('1x1', 'in_channels') == (8, 8)
    assert table(strict).steps('1x1', 'out_channels') == (1, 1)  # nothing is known


def test_factor():
    own = table(curve(lambda n: n * (1 if n % 4 == 0 else 1.3)))
    assert own.factor('1x1', 'in_channels', 20) == pytest.approx(1)
    assert own.factor('1x1', 'in_channels', 21) == pytest.approx(1.3)
    assert own.factor('1x1', 'in_channels', 21.5) == 1
    assert own.factor('spatial', 'in_channels', 21) == 1


def test_depth_wise_layers_have_one_number_of_channels():
    own = table(curve(lambda n: n * (1 if n % 8 == 0 else 7), kind='depthwise'))
    assert (
        own.steps('depthwise', 'out_channels') == own.steps('depthwise', 'in_channels') == (8, 8)
    )


@pytest.mark.parametrize(
    ('module', 'kind'),
    [
        (nn.Conv2d(4, 8, 1), '1x1'),
        (nn.Conv2d(4, 8, 1, stride=2), '1x1'),
        (nn.Conv2d(4, 8, 3), 'spatial'),
        (nn.Conv2d(4, 8, 3, stride=2), 'strided'),
        (nn.Conv2d(4, 8, (1, 3)), 'spatial'),
        (nn.Conv2d(4, 8, 3, groups=4), 'depthwise'),
        (nn.Conv2d(4, 8, 3, groups=2), 'grouped'),
        (nn.Linear(4, 8), ''),
    ],
)
def test_layer_kind(module, kind):
    assert layer_kind(module) == kind


class TestFile:
    def test_there_and_back(self, tmp_path):
        own = table(curve(lambda n: n / 7))
        own.write(tmp_path / 'steps.json')
        assert StepTable.read(tmp_path / 'steps.json') == own

    @pytest.mark.parametrize(
        ('change', 'word'),
        [
            ({'version': 9}, 'version 1'),
            ({'curves': []}, 'no curves'),
            ({'threads': None, 'cores': 2}, 'cores'),
            (
                {'curves': [{'kind': 'x', 'axis': 'y', 'layer': '', 'channels': [1], 'ms': [1]}]},
                'x',
            ),
        ],
    )
    def test_another_file(self, tmp_path, change, word):
        path = tmp_path / 'steps.json'
        path.write_text(json.dumps({**table(curve(lambda n: n)).to_dict(), **change}))
        with pytest.raises(CompressionError, match=rf'is no table of steps .*{word}'):
            StepTable.read(path)

    @pytest.mark.parametrize('ms', [0, -1, float('nan')])
    def test_a_time_that_is_none(self, tmp_path, ms):
        path = tmp_path / 'steps.json'
        data = table(curve(lambda n: n)).to_dict()
        data['curves'][0]['ms'] = [*data['curves'][0]['ms'][:-1], ms]
        path.write_text(json.dumps(data))
        with pytest.raises(CompressionError, match='not above 0'):
            StepTable.read(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(CompressionError, match='cannot be read'):
            StepTable.read(tmp_path / 'steps.json')


def test_which_table():
    """The same processor first, then one with the same vector units, and no other runtime's."""
    one = curve(lambda n: n)
    tables = [
        table(one, processor='Old (x86_64 AVX2)'),
        table(one, processor='Chip (x86_64 AVX2)'),
        table(one, processor='Board (aarch64 NEON)'),
        table(one, runtime='ncnn', processor='New (x86_64 AVX-512)'),
    ]
    assert table_for('onnxruntime', 'Chip (x86_64 AVX2)', tables) is tables[1]
    assert table_for('onnxruntime', 'Other (x86_64 AVX2)', tables) is tables[0]
    assert table_for('onnxruntime', 'Pi (aarch64 NEON)', tables) is tables[2]
    assert table_for('onnxruntime', 'New (x86_64 AVX-512)', tables) is None
    assert table_for('ncnn', 'New (x86_64 AVX-512)', tables) is tables[3]


def test_the_packages_tables_are_whole():
    """Of each kind and axis a curve over one block, with what it was measured on."""
    runtimes = set()
    for own in shipped_tables():
        runtimes.add(own.runtime)
        assert own.engine_version and own.date and '(' in own.processor
        for kind in KINDS:
            for axis in AXES:
                curves = own.of(kind, axis)
                assert curves, (own.runtime, kind, axis)
                for each in curves:
                    assert np.diff(each.channels).tolist() == [1] * 16
    assert {'onnxruntime', 'torch'} <= runtimes
