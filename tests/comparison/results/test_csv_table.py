"""A comparison as CSV against values found by hand, and there and back."""

import csv
from pathlib import Path

import pytest
from made_comparisons import AP50, COCO, MAP, control, metrics, of, pruned, three_methods

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.comparison import CellResult, Comparison
from mmdet_lcp.comparison.results.csv_table import comparison_csv, read_comparison_csv


class TestWriting:
    @staticmethod
    def rows(*cells: CellResult) -> list[dict[str, str]]:
        return list(csv.DictReader(comparison_csv(of(*cells)).splitlines()))

    def test_columns(self):
        header = comparison_csv(of(pruned('lcp', 0, 0.4))).splitlines()[0]
        assert header.split(',') == [
            *('method', 'update', 'ratio', 'seed', 'state', 'iterations'),
            *(f'{when} {key}' for when in ('dense', 'selected', 'final') for key in metrics(0)),
            *('params', 'params_ratio', 'macs', 'macs_ratio', 'seconds_selection', 'seconds'),
            'same_as',
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

    def test_a_row_for_each_cell(self):
        comparison = three_methods()
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


class TestReading:
    @staticmethod
    def there_and_back(comparison: Comparison, folder: Path) -> Comparison:
        (folder / 'table.csv').write_text(comparison_csv(comparison), encoding='utf-8')
        return read_comparison_csv(folder / 'table.csv')

    def test_all_that_is_written(self, tmp_path):
        made = three_methods()
        back = self.there_and_back(made, tmp_path)
        assert back.methods == ['lcp', 'l1', 'scratch', 'uniform']
        for cell, given in zip(back.cells, made.cells, strict=True):
            if given.method in ('scratch', 'uniform') and given.state == 'finished':
                # a control's report does not know the dense detector; the table does
                assert (cell.dense_params, cell.dense_macs) == (2_000_000, 600_000_000)
                cell.dense_params = cell.dense_macs = None
            assert cell == given

    def test_shares_and_own_ratios(self, tmp_path):
        made = of(pruned('lcp', 0, 0.4, 'macs0.25'), pruned('lcp', 0, 0.4, 'config'))
        assert self.there_and_back(made, tmp_path).ratios == ['macs0.25', 'config']

    def test_a_table_from_before_same_as(self, tmp_path):
        rows = list(csv.reader(comparison_csv(of(pruned('lcp', 0, 0.4))).splitlines()))
        assert rows[0][-1] == 'same_as'
        old = '\n'.join(','.join(row[:-1]) for row in rows) + '\n'
        (tmp_path / 'table.csv').write_text(old)
        (cell,) = read_comparison_csv(tmp_path / 'table.csv').cells
        assert cell == pruned('lcp', 0, 0.4)

    def test_not_there(self, tmp_path):
        with pytest.raises(CompressionError, match=r'no\.csv cannot be read'):
            read_comparison_csv(tmp_path / 'no.csv')

    def test_another_table(self, tmp_path):
        (tmp_path / 'table.csv').write_text('run,method,seed\na,b,0\n')
        with pytest.raises(CompressionError, match=r'table\.csv is no table .*iterations'):
            read_comparison_csv(tmp_path / 'table.csv')

    @pytest.mark.parametrize(
        'before, after, words',
        [
            (',0,finished', ',zero,finished', "line 2: .*'zero'"),
            (',finished,', ',done,', "line 2: there is no state 'done'"),
            (',500000,', ',half,', "line 2: .*'half'"),
            (',500000,', ',', 'line 2: it has not as many fields as the first line'),
        ],
    )
    def test_a_damaged_row(self, tmp_path, before, after, words):
        text = comparison_csv(of(pruned('lcp', 0, 0.4)))
        assert before in text
        (tmp_path / 'table.csv').write_text(text.replace(before, after, 1))
        with pytest.raises(CompressionError, match=words):
            read_comparison_csv(tmp_path / 'table.csv')
