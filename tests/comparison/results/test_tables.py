"""The tables of a comparison, cell by cell, against values found by hand."""

import pytest
from made_comparisons import AP50, AP75, COCO, MAP, control, metrics, of, pruned, three_methods

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison
from mmdet_lcp.comparison.results.tables import comparison_markdown, write_tables


@pytest.fixture
def comparison() -> Comparison:
    return three_methods()


def table_of(text: str) -> dict[str, list[str]]:
    """The cells of its rows by the first of them, the heading's too."""
    lines = [line.strip('|').split('|') for line in text.splitlines() if line.startswith('|')]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines}


def rows_of(markdown: str, ratio: str) -> dict[str, list[str]]:
    return table_of(markdown.split(f'## Ratio {ratio}\n')[1].split('\n##')[0])


EMPTY = {MAP: 0.0, AP50: 0.0, AP75: 0.0}


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

    def test_runs_that_find_nothing_count_as_zero(self):
        """Two of four seeds: the mean of 0.4, 0.2, 0 and 0, whatever their files hold."""
        runs = [pruned('lcp', seed, value) for seed, value in enumerate((0.4, 0.2))]
        runs += [pruned('lcp', 2, 0.0, final={}), pruned('lcp', 3, 0.0, final=dict(EMPTY))]
        text = comparison_markdown(of(*runs))
        assert rows_of(text, '0.5')['lcp'][0] == '0.150 ± 0.191 (4)'
        for seed in (2, 3):
            assert f'**Note:** lcp at 0.5 with seed {seed} finds nothing: its metrics' in text
        assert 'seed 1 finds' not in text

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


def test_tables_are_written(comparison, tmp_path):
    (tmp_path / 'map_vs_macs.png').touch()
    write_tables(comparison, tmp_path)
    assert (tmp_path / 'table.csv').read_text().startswith('method,update,ratio,seed,state')
    page = (tmp_path / 'table.md').read_text(encoding='utf-8')
    assert page.startswith('# Comparison: c.py\n') and '(map_vs_macs.png)' in page
