"""The tables of a comparison, cell by cell, against values found by hand."""

import csv

import pytest

from mmdet_lcp.analysis.comparison import CellResult, Comparison
from mmdet_lcp.analysis.comparison_tables import (
    comparison_csv,
    comparison_markdown,
    write_tables,
)

MAP, AP50, AP75 = 'pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75'
COCO = 'coco/bbox_mAP'


def metrics(value: float) -> dict:
    return {MAP: value, AP50: value + 0.2, AP75: value - 0.1}


def pruned(method: str, seed: int, value: float, ratio=0.5, **changes) -> CellResult:
    """A run that has ended, with a quarter of the dense detector's cost."""
    facts = dict(
        update='NoUpdate',
        state='finished',
        iterations='6',
        dense=metrics(0.6),
        selected=metrics(value - 0.1),
        final=metrics(value),
        params=500_000,
        macs=150_000_000,
        dense_params=2_000_000,
        dense_macs=600_000_000,
        seconds_selection=2.0,
        seconds=100.0,
    )
    return CellResult(method, ratio, seed, **(facts | changes))


def control(method: str, seed: int = 0, **changes) -> CellResult:
    facts = dict(
        state='finished',
        iterations='6',
        final=metrics(0.3),
        params=500_000,
        macs=150_000_000,
        seconds=7.0,
    )
    return CellResult(method, 0.5, seed, **(facts | changes))


def of(*cells: CellResult, **about) -> Comparison:
    return Comparison(list(cells), list(dict.fromkeys(cell.method for cell in cells)), **about)


@pytest.fixture
def comparison() -> Comparison:
    """lcp with 3 seeds, l1 with 2 of 3 (the third failed), a control that is shared."""
    return of(
        *(pruned('lcp', seed, value) for seed, value in enumerate((0.40, 0.42, 0.47))),
        *(pruned('l1', seed, value, seconds=50.0) for seed, value in enumerate((0.50, 0.44))),
        CellResult('l1', 0.5, 2, 'NoUpdate', 'failed', '6'),
        control('scratch'),
        CellResult('scratch', 0.5, 1, iterations='6'),
        control('uniform', same_as='scratch_r0.5_s0'),
        command='compare',
        config='c.py',
    )


def table_of(text: str) -> dict[str, list[str]]:
    """The cells of its rows by the first of them, the heading's too."""
    lines = [line.strip('|').split('|') for line in text.splitlines() if line.startswith('|')]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines}


def rows_of(markdown: str, ratio: str) -> dict[str, list[str]]:
    return table_of(markdown.split(f'## Ratio {ratio}\n')[1].split('\n##')[0])


class TestMarkdown:
    def test_rows(self, comparison):
        rows = rows_of(comparison_markdown(comparison), '0.5')
        assert list(rows)[2:] == ['dense', 'lcp', 'l1', 'scratch', 'uniform (= scratch)']
        assert rows['method'] == [
            'mAP',
            'AP50',
            'AP75',
            'mAP before retraining',
            'params',
            'MACs',
            'selection',
            'seconds',
            'seeds',
        ]
        costs = ['2.00 M', '600.00 M']
        assert rows['dense'] == ['0.600', '0.800', '0.500', '', *costs, '', '', '']
        assert rows['lcp'] == [
            '0.430 ± 0.036 (3)',
            '0.630 ± 0.036 (3)',
            '0.330 ± 0.036 (3)',
            '0.330 ± 0.036 (3)',
            '500.00 k (−75.0 %)',
            '150.00 M (−75.0 %)',
            '2.0 s',
            '1 min 40 s',
            '3',
        ]
        assert rows['l1'] == [
            '**0.470** ± 0.042 (2)',
            '**0.670** ± 0.042 (2)',
            '**0.370** ± 0.042 (2)',
            '**0.370** ± 0.042 (2)',
            *rows['lcp'][4:7],
            '50.0 s',
            '2 of 3, 1 failed',
        ]
        assert rows['scratch'][:4] == ['0.300 (1)', '0.500 (1)', '0.200 (1)', 'n/a']
        assert rows['scratch'][6:] == ['n/a', '7.0 s', '1 of 2']
        assert rows['uniform (= scratch)'][-1] == '1'

    def test_counts_and_command(self, comparison):
        text = comparison_markdown(comparison)
        assert text.startswith('# Comparison: c.py\n')
        assert '6 of 8 runs have ended, 1 failed.' in text  # the shared one was not run
        assert text.endswith('## To repeat it\n\n```\ncompare\n```\n')

    def test_nothing_known_but_the_runs(self):
        text = comparison_markdown(of(pruned('lcp', 0, 0.4)))
        assert text.startswith('# Comparison\n\n1 of 1 runs have ended. Mean')
        assert 'To repeat it' not in text and 'Warning' not in text

    def test_without_a_run(self):
        text = comparison_markdown(Comparison([], []))
        assert '0 of 0 runs have ended.' in text and '|' not in text

    def test_before_any_run_has_ended(self):
        """There is no metric to show, and no dense detector."""
        text = comparison_markdown(of(CellResult('lcp', 0.5, 0, 'NoUpdate')))
        rows = rows_of(text, '0.5')
        assert rows['method'] == ['params', 'MACs', 'selection', 'seconds', 'seeds']
        assert rows['lcp'] == ['n/a', 'n/a', 'n/a', 'n/a', '0 of 1']
        assert 'dense' not in rows

    def test_costs_without_a_dense_detector(self):
        runs = [CellResult('lcp', 0.5, 0, 'NoUpdate', 'finished', final=metrics(0.4), params=500)]
        rows = rows_of(comparison_markdown(of(*runs)), '0.5')
        assert rows['lcp'][4:6] == ['500', 'n/a']

    def test_equal_means_are_all_bold(self):
        """As they are shown: to three decimals."""
        runs = [pruned('lcp', 0, 0.4004), pruned('l1', 0, 0.3996), pruned('fpgm', 0, 0.3994)]
        rows = rows_of(comparison_markdown(of(*runs)), '0.5')
        assert rows['lcp'][0] == rows['l1'][0] == '**0.400** (1)'
        assert rows['fpgm'][0] == '0.399 (1)'

    def test_a_single_method_is_not_bold(self):
        rows = rows_of(comparison_markdown(of(pruned('lcp', 0, 0.4))), '0.5')
        assert rows['lcp'][0] == '0.400 (1)'

    def test_the_best_of_each_ratio_by_itself(self):
        runs = [pruned(*facts) for facts in (('a', 0, 0.5, 0.3), ('b', 0, 0.4, 0.3))]
        runs += [pruned(*facts) for facts in (('a', 0, 0.2, 0.7), ('b', 0, 0.3, 0.7))]
        text = comparison_markdown(of(*runs))
        low, high = rows_of(text, '0.3'), rows_of(text, '0.7')
        assert (low['a'][0], low['b'][0]) == ('**0.500** (1)', '0.400 (1)')
        assert (high['a'][0], high['b'][0]) == ('0.200 (1)', '**0.300** (1)')

    def test_what_coco_could_not_measure_is_not_bold(self):
        """It says -1 where there are no objects to find."""
        runs = [pruned(name, 0, 0.4, final={COCO: -1.0}) for name in ('a', 'b')]
        rows = rows_of(comparison_markdown(of(*runs)), '0.5')
        assert rows['a'][0] == rows['b'][0] == 'n/a (1)'

    def test_methods_have_rows_where_they_have_runs(self):
        text = comparison_markdown(of(pruned('a', 0, 0.4, 0.3), pruned('b', 0, 0.4, 0.7)))
        assert list(rows_of(text, '0.3'))[2:] == ['dense', 'a']
        assert list(rows_of(text, '0.7'))[2:] == ['dense', 'b']

    def test_sections_rise_and_the_configs_own_ratio_is_last(self):
        amounts = ('config', 'macs0.1', 0.75, 'macs0.25', 0.5, 0.3)
        runs = [pruned('lcp', 0, 0.4, ratio) for ratio in amounts]
        text = comparison_markdown(of(*runs, command='compare'))
        titles = [line for line in text.splitlines() if line.startswith('## ')]
        assert titles == [
            '## Ratio 0.3',
            '## Ratio 0.5',
            '## Ratio 0.75',
            '## 0.25 of the multiply-accumulates, shared out by each method',
            '## 0.1 of the multiply-accumulates, shared out by each method',
            "## The config's own ratios",
            '## To repeat it',
        ]

    def test_students_have_no_selection(self):
        """Nothing is pruned, so there is no ratio to head a section either."""
        text = comparison_markdown(of(control('mimic'), control('alone')))
        assert '## ' not in text
        rows = table_of(text)
        assert rows['method'] == ['mAP', 'AP50', 'AP75', 'params', 'MACs', 'seconds', 'seeds']
        assert rows['mimic'][3:] == ['500.00 k', '150.00 M', '7.0 s', '1']

    def test_dense_detectors_that_differ(self):
        runs = [pruned('lcp', 0, 0.4), pruned('lcp', 1, 0.4, dense=metrics(0.65))]
        warnings = [
            line
            for line in comparison_markdown(of(*runs)).splitlines()
            if line.startswith('**Warning:** the cells disagree')
        ]
        assert len(warnings) == 3 and '0.6000 to 0.6500' in warnings[0]

    def test_pictures_that_are_there(self, comparison, tmp_path):
        assert '![' not in comparison_markdown(comparison, tmp_path)
        (tmp_path / 'map_by_group.png').touch()
        text = comparison_markdown(comparison, tmp_path)
        assert '![Metric after each group](map_by_group.png)' in text
        (tmp_path / 'map_vs_macs.png').touch()
        text = comparison_markdown(comparison, tmp_path)
        places = [text.index(f'({name}.png)') for name in ('map_vs_macs', 'map_by_group')]
        assert places == sorted(places)


class TestCsv:
    def rows(self, *cells: CellResult) -> list[dict[str, str]]:
        return list(csv.DictReader(comparison_csv(of(*cells)).splitlines()))

    def test_columns(self):
        header = comparison_csv(of(pruned('lcp', 0, 0.4))).splitlines()[0]
        assert header.split(',') == [
            *('method', 'update', 'ratio', 'seed', 'state', 'iterations'),
            *(f'{when} {key}' for when in ('dense', 'selected', 'final') for key in metrics(0)),
            *('params', 'params_ratio', 'macs', 'macs_ratio', 'seconds_selection', 'seconds'),
        ]

    def test_a_row(self):
        (row,) = self.rows(pruned('lcp', 3, 0.4, 'macs0.25', iterations='2 x 5, 6'))
        assert [row[key] for key in ('method', 'update', 'ratio', 'seed', 'state')] == [
            'lcp',
            'NoUpdate',
            'macs0.25',
            '3',
            'finished',
        ]
        assert row['iterations'] == '2 x 5, 6'
        assert float(row[f'final {MAP}']) == 0.4
        assert float(row[f'selected {MAP}']) == pytest.approx(0.3)
        assert float(row[f'dense {AP50}']) == pytest.approx(0.8)
        costs = [row[key] for key in ('params', 'params_ratio', 'macs', 'macs_ratio')]
        assert costs == ['500000', '0.25', '150000000', '0.25']
        assert (row['seconds_selection'], row['seconds']) == ('2.0', '100.0')

    def test_a_row_for_each_cell(self, comparison):
        rows = list(csv.DictReader(comparison_csv(comparison).splitlines()))
        assert [(row['method'], row['seed'], row['state']) for row in rows] == [
            (cell.method, str(cell.seed), cell.state) for cell in comparison.cells
        ]
        failed = rows[5]
        assert failed['state'] == 'failed'
        assert not any(value for key, value in failed.items() if ' ' in key or 'macs' in key)
        assert rows[6]['update'] == '' and rows[6][f'dense {MAP}'] == ''

    def test_controls_are_compared_with_the_dense_detector_of_the_others(self):
        _, row = self.rows(pruned('lcp', 0, 0.4), control('scratch', params=3_000_000))
        assert (row['params_ratio'], row['macs_ratio']) == ('1.5', '0.25')

    def test_no_dense_detector_no_relation(self):
        (row,) = self.rows(control('scratch'))
        assert (row['params'], row['params_ratio'], row['macs_ratio']) == ('500000', '', '')

    def test_relations_have_six_decimals(self):
        (row,) = self.rows(pruned('lcp', 0, 0.4, params=1, dense_params=3))
        assert row['params_ratio'] == '0.333333'

    def test_columns_are_those_of_all_cells(self):
        first, second = self.rows(
            pruned('lcp', 0, 0.4, final={MAP: 0.4}), pruned('lcp', 1, 0.4, final={COCO: 0.5})
        )
        assert (first[f'final {MAP}'], first[f'final {COCO}']) == ('0.4', '')
        assert (second[f'final {MAP}'], second[f'final {COCO}']) == ('', '0.5')


def test_tables_are_written(comparison, tmp_path):
    (tmp_path / 'map_vs_macs.png').touch()
    write_tables(comparison, tmp_path)
    assert (tmp_path / 'table.csv').read_text().startswith('method,update,ratio,seed,state')
    page = (tmp_path / 'table.md').read_text(encoding='utf-8')
    assert page.startswith('# Comparison: c.py\n') and '(map_vs_macs.png)' in page
