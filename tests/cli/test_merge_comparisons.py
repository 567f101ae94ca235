from pathlib import Path

import pytest
from made_comparisons import metrics, of, pruned

from mmdet_lcp.cli import merge_comparisons
from mmdet_lcp.comparison.results.csv_table import comparison_csv, read_comparison_csv
from mmdet_lcp.comparison.results.summary import comparison_summary
from mmdet_lcp.files import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / 'earlier.csv'
    path.write_text(comparison_csv(of(pruned('lcp', 0, 0.4), pruned('lcp', 1, 0.42))))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A comparison's folder in which a control has ended and a run has not."""
    out = tmp_path / 'compare'
    for method, update in (('scratch', None), ('l1_norm', 'NoUpdate')):
        facts = dict(method=method, ratio=0.5, seed=0, update=update, iterations='6', same_as=None)
        write_json(out / 'cells' / f'{method}_r0.5_s0' / 'cell.json', facts)
    result = dict(metrics=metrics(0.3), params=500_000, macs=150_000_000, seconds=7.0)
    write_json(out / 'cells' / 'scratch_r0.5_s0' / 'run' / 'control.json', result)
    return out


def test_a_table_and_a_folder(table, folder, tmp_path, capsys):
    out = tmp_path / 'all'
    assert merge_comparisons.main([str(table), str(folder), '--out', str(out)]) == 0
    summary = (out / 'summary.md').read_text(encoding='utf-8')
    assert summary.strip() == capsys.readouterr().out.strip()
    assert '**0.410 ± 0.014**' in summary and '| scratch |     1 |' in summary
    assert '1 of 1' not in (out / 'table.md').read_text()
    assert '3 of 4 runs have ended' in (out / 'table.md').read_text()
    assert (out / 'table.csv').read_text().count('\n') == 5
    assert (out / 'map_vs_macs.png').stat().st_size > 1000


def test_merging_what_was_merged_changes_nothing(table, folder, tmp_path):
    first, second = tmp_path / 'first', tmp_path / 'second'
    merge_comparisons.main([str(table), str(folder), '--out', str(first)])
    merge_comparisons.main([str(first / 'table.csv'), '--out', str(second)])
    for name in ('table.csv', 'summary.md'):
        assert (first / name).read_text() == (second / name).read_text()


def test_not_over_a_comparison(table, folder, capsys):
    assert merge_comparisons.main([str(table), '--out', str(folder)]) == 1
    assert 'choose another folder' in capsys.readouterr().err
    assert not (folder / 'table.csv').exists()


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    args = [str(tmp_path / 'empty'), '--out', str(tmp_path / 'all')]
    assert merge_comparisons.main(args) == 1
    assert 'empty holds no comparison' in capsys.readouterr().err


def test_results_that_contradict(table, tmp_path, capsys):
    (tmp_path / 'later.csv').write_text(comparison_csv(of(pruned('lcp', 0, 0.5))))
    args = [str(table), str(tmp_path / 'later.csv'), '--out', str(tmp_path / 'all')]
    assert merge_comparisons.main(args) == 1
    assert 'lcp at 0.5 with seed 0' in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        merge_comparisons.main(['--help'])
    assert stop.value.code == 0
    assert 'work_dirs/compare_dcp --out' in capsys.readouterr().out


RESULTS_SHOWN = [
    *('bccd', 'bccd_more', 'digits', 'digits_more', 'bccd_4_epochs'),
    *('faster_rcnn_bccd', 'faster_rcnn_digits'),
]
RESULTS = ROOT / 'configs' / 'lcp' / 'results'


@pytest.mark.parametrize('name', RESULTS_SHOWN)
def test_the_tables_in_the_readme_are_those_of_the_results(name):
    readme = (RESULTS / 'README.md').read_text(encoding='utf-8')
    assert comparison_summary(read_comparison_csv(RESULTS / f'{name}.csv')) in readme
