import csv
import math

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.sensitivity import (
    SENSITIVITY_CSV,
    SENSITIVITY_JSON,
    Sensitivity,
    SensitivityCell,
    read_sensitivity,
)

MAP = 'coco/bbox_mAP'


@pytest.fixture
def found() -> Sensitivity:
    """Four groups at two ratios; the last one is broken by the larger one."""
    losses = {'a': (2.1, 2.5), 'b': (2.0, 1.9), 'c': (2.2, 4.0), 'd': (2.05, math.nan)}
    maps = {'a': (0.6, 0.5), 'b': (0.65, 0.61), 'c': (0.4, 0.1), 'd': (0.6, 0.0)}
    cells = [
        SensitivityCell(
            name, ratio, 10 - round(10 * ratio), {'loss': losses[name][i], MAP: maps[name][i]}, 1.5
        )
        for name in ('b', 'a', 'c', 'd')
        for i, ratio in enumerate((0.5, 0.8))
    ]
    groups = {'a': 10, 'b': 10, 'c': 10, 'd': 10}
    return Sensitivity(groups, {'model': 'x'}, {'loss': 2.0, MAP: 0.63}, cells)


def test_damage(found):
    at = {(c.group, c.ratio): c for c in found.cells}
    assert found.damage(at['a', 0.5], 'loss') == pytest.approx(0.1)
    assert found.damage(at['b', 0.8], 'loss') == pytest.approx(-0.1)
    assert found.damage(at['a', 0.8], MAP) == pytest.approx(0.13)
    assert found.damage(at['b', 0.5], MAP) == pytest.approx(-0.02)
    assert found.damage(at['d', 0.8], 'loss') == math.inf


def test_measures(found):
    assert found.measures() == ['loss', MAP]
    found.dense = {'coco/bbox_mAP_75': 0.3, 'coco/bbox_mAP_50': 0.6}
    assert found.measures() == ['coco/bbox_mAP_50']
    found.dense = {}
    assert found.measures() == []


def test_the_most_sensitive_first(found):
    ranking = found.ranking('loss')
    assert [name for name, _ in ranking] == ['d', 'c', 'a', 'b']
    assert dict(ranking)['c'] == pytest.approx((0.2 + 2.0) / 2)
    assert [name for name, _ in found.ranking(MAP)] == ['c', 'd', 'a', 'b']


def test_groups_that_are_not_there_yet(found):
    found.cells = [cell for cell in found.cells if cell.group == 'c']
    assert [name for name, _ in found.ranking('loss')] == ['c']
    assert 'n/a' in found.summary()


def test_csv(found):
    rows = list(csv.DictReader(found.to_csv().splitlines()))
    assert [(row['group'], row['ratio']) for row in rows[:3]] == [
        ('a', '0.5'),
        ('a', '0.8'),
        ('b', '0.5'),
    ]
    first = rows[0]
    assert (first['channels'], first['kept'], first['loss']) == ('10', '5', '2.1')
    assert float(first['loss change']) == pytest.approx(0.1)
    assert float(first[f'{MAP} change']) == pytest.approx(-0.03)
    assert len(rows) == 8


def test_there_and_back(found, tmp_path):
    assert read_sensitivity(tmp_path) is None
    found.write(tmp_path)
    again = read_sensitivity(tmp_path)
    assert again.cell('d', 0.8).values['loss'] is None  # JSON has no NaN
    assert again.damage(again.cell('d', 0.8), 'loss') == math.inf
    assert again.to_csv().replace(',,', ',nan,nan,', 1).count('\n') == found.to_csv().count('\n')
    again.cells = [cell for cell in again.cells if cell.group != 'd']
    found.cells = [cell for cell in found.cells if cell.group != 'd']
    assert again == found
    assert (tmp_path / SENSITIVITY_CSV).exists()


@pytest.mark.parametrize('text', ['{"groups"', '[]', '{"groups": {}}', '{"cells": [{"a": 1}]}'])
def test_damaged(tmp_path, text):
    (tmp_path / SENSITIVITY_JSON).write_text(text)
    with pytest.raises(CompressionError, match=r'sensitivity\.json is damaged'):
        read_sensitivity(tmp_path)


def test_summary_names_the_groups(found):
    text = found.summary()
    assert 'Most sensitive by loss: d (+inf), c (+1.1), a (+0.3)' in text
    assert 'Least sensitive by loss: b (-0.05)' in text
    assert 'Most sensitive by mAP: c (+0.38), d (+0.33), a (+0.08)' in text
    assert '+2.000' in text and '-0.530' in text
    assert 'dense: loss 2.000, mAP 0.630' in text


def test_a_dense_loss_that_is_no_number_is_not_judged_by(tmp_path):
    """nan, which JSON has as null."""
    cell = SensitivityCell('a', 0.5, 4, {'loss': 1.0, MAP: 0.25}, 1.0)
    found = Sensitivity({'a': 8}, {}, {'loss': math.nan, MAP: 0.5}, [cell])
    found.write(tmp_path)
    read = read_sensitivity(tmp_path)
    assert read.dense['loss'] is None
    assert read.measures() == [MAP]
    assert read.ranking(MAP) == [('a', 0.25)]
    assert 'a' in read.summary()
    Sensitivity({'a': 8}, {}, {'loss': math.nan}, [cell]).write(tmp_path)
    with pytest.raises(CompressionError, match=r'sensitivity\.json.*no figure of the dense'):
        read_sensitivity(tmp_path)
