"""Statistics over seeds, and what is read from a folder, against values found by hand."""

import math

import made_reports
import pytest

from mmdet_lcp.comparison.results.comparison import (
    CellResult,
    Comparison,
    from_report,
    over_seeds,
    read_comparison,
    spread,
)
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.report.facts import DetectorFacts, GroupFacts
from mmdet_lcp.report.tables import metric_name

MAP, AP50, AP75 = 'pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75'


def metrics(value: float) -> dict:
    return {MAP: value, AP50: value + 0.2, AP75: value - 0.1}


def report(final: float, dense: float = 0.6, **changes):
    return made_reports.report(
        dense=DetectorFacts(metrics(dense), 2_000_000, 600_000_000),
        compressed=DetectorFacts(metrics(final), 500_000, 150_000_000),
        groups=[GroupFacts('a', 8, 4, 4, 1.5), GroupFacts('b', 8, 4, 4, 0.5)],
        pruned_metrics=metrics(final - 0.1),
        **{'seconds': 100.0, **changes},
    )


def add(out, method, seed, ratio=0.5, result=None, same_as=None, failed=False, **more):
    """Put a cell into a folder as a comparison does."""
    folder = out / 'cells' / f'{method}_r{ratio}_s{seed}'
    update = None if method in ('scratch', 'uniform') else 'NoUpdate'
    cell = dict(method=method, update=update, ratio=ratio, seed=seed, iterations='6')
    write_json(folder / 'cell.json', {**cell, 'same_as': same_as, 'fingerprint': {}, **more})
    if failed:
        (folder / 'failed.txt').write_text('boom\n')
    elif isinstance(result, dict):
        write_json(folder / 'run' / 'control.json', result)
    elif result is not None:
        write_json(folder / 'run' / 'report.json', result.to_dict())


@pytest.fixture
def out(tmp_path):
    """lcp with 3 seeds, l1 with 2 of 3 (the third failed), a control that is shared."""
    about = dict(methods=['lcp', 'l1', 'scratch', 'uniform'], command='compare', config='c.py')
    write_json(tmp_path / 'comparison.json', about)
    for seed, value in enumerate((0.40, 0.42, 0.47)):
        add(tmp_path, 'lcp', seed, result=report(value))
    for seed, value in enumerate((0.50, 0.44)):
        add(tmp_path, 'l1', seed, result=report(value, seconds=50.0))
    add(tmp_path, 'l1', 2, failed=True)
    control = dict(metrics=metrics(0.3), params=500_000, macs=150_000_000, seconds=7.0)
    add(tmp_path, 'scratch', 0, result=control)
    add(tmp_path, 'scratch', 1)
    add(tmp_path, 'uniform', 0, same_as='scratch_r0.5_s0')
    return tmp_path


class TestSpread:
    def test_mean_and_deviation_with_n_minus_1(self):
        result = spread([0.40, 0.42, 0.47])
        assert result.mean == pytest.approx(0.43)
        assert result.deviation == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
        assert result.count == 3

    def test_one_value_has_no_deviation(self):
        assert spread([0.4]) == spread([None, 0.4, math.nan])
        assert spread([0.4]).deviation is None

    def test_no_value(self):
        assert (spread([]).mean, spread([None]).count) == (None, 0)

    def test_only_finished_cells_count(self):
        cells = [CellResult('a', 0.5, s, state='finished', seconds=2.0) for s in range(2)]
        cells.append(CellResult('a', 0.5, 2, state='failed', seconds=9.0))
        assert over_seeds(cells, lambda c: c.seconds).mean == 2


class TestReading:
    def test_states(self, out):
        states = [(c.method, c.seed, c.state) for c in read_comparison(out).cells]
        assert states == [
            ('lcp', 0, 'finished'),
            ('lcp', 1, 'finished'),
            ('lcp', 2, 'finished'),
            ('l1', 0, 'finished'),
            ('l1', 1, 'finished'),
            ('l1', 2, 'failed'),
            ('scratch', 0, 'finished'),
            ('scratch', 1, 'not finished'),
            ('uniform', 0, 'finished'),
        ]

    def test_a_report(self, out):
        cell = read_comparison(out).cells[0]
        assert (cell.params, cell.dense_params) == (500_000, 2_000_000)
        assert (cell.seconds, cell.seconds_selection) == (100, 2.0)
        assert cell.selected[MAP] == pytest.approx(0.3)
        names = [name for name, _ in cell.steps]
        assert names == ['dense', *(f'backbone.features.{2 * i}' for i in range(13))]

    def test_a_shared_result(self, out):
        (cell,) = read_comparison(out).of('uniform', 0.5)
        assert cell.final == metrics(0.3) and cell.same_as == 'scratch_r0.5_s0'

    def test_an_empty_folder(self, tmp_path):
        comparison = read_comparison(tmp_path)
        assert comparison.cells == [] and comparison.metric_keys() == []

    def test_a_damaged_cell(self, out):
        path = out / 'cells' / 'lcp_r0.5_s0' / 'cell.json'
        path.write_text('{"method": "lcp"}')
        with pytest.raises(CompressionError, match=r'lcp_r0\.5_s0'):
            read_comparison(out)
        path.write_text('{')
        with pytest.raises(CompressionError, match=r'lcp_r0\.5_s0'):
            read_comparison(out)

    def test_dense_measurements_that_differ(self, out):
        assert read_comparison(out).disagreements() == []
        add(out, 'lcp', 3, result=report(0.4, dense=0.65))
        lines = read_comparison(out).disagreements()
        assert len(lines) == 3
        assert MAP in lines[0] and '0.6000 to 0.6500' in lines[0]

    @pytest.mark.parametrize(
        ('found', 'shown'),
        [
            (['coco/bbox_mAP_s', 'coco/bbox_mAP', 'coco/bbox_mAP_50'], ['mAP', 'AP50']),
            ([AP75, AP50, MAP], ['mAP', 'AP50', 'AP75']),
            (['x/recall', 'x/precision'], ['recall', 'precision']),
        ],
    )
    def test_metrics_to_show(self, found, shown):
        cell = from_report(CellResult('a', 0.5, 0), report(0.4))
        cell.final = dict.fromkeys(found, 0.5)
        keys = Comparison([cell], ['a']).metric_keys()
        assert [metric_name(key) for key in keys] == shown
