"""The page of a comparison."""

from html_pages import Page
from made_comparisons import control, of, pruned, three_methods

from mmdet_lcp.comparison.results.page import comparison_page, write_comparison_page


def test_all_runs_and_means(tmp_path):
    page = Page(write_comparison_page(three_methods(), tmp_path))
    for words in ('Comparison: c.py', '1 failed', '0.430 ± 0.036 (3)', 'as scratch_r0.5_s0'):
        assert words in page.text
    assert page.tags.count('svg') == 2  # metric against MACs, wide and narrow
    assert page.text.endswith('.') and 'compare' in page.text


def test_latencies_have_a_chart_and_a_column(tmp_path):
    timed = of(
        pruned('lcp', 0, 0.4, latency_ms=20.0, dense_latency_ms=30.0),
        pruned('lcp', 1, 0.5, latency_ms=22.0, dense_latency_ms=30.0),
        control('scratch'),
    )
    page = comparison_page(timed, tmp_path)
    assert [words for words, _ in page.charts] == [
        'Metric against multiply-accumulates',
        'Metric against milliseconds',
    ]
    column = page.headers.index('latency')
    assert [row[column].text for _, row in page.rows] == ['20.0 ms', '22.0 ms', 'n/a']
    assert [row[column].value for _, row in page.rows] == [20.0, 22.0, '']


def test_runs_are_linked_from_where_the_page_lies(tmp_path):
    run = tmp_path / 'out' / 'cells' / 'a' / 'run'
    run.mkdir(parents=True)
    comparison = of(
        pruned('lcp', 0, 0.4, run_dir=str(run)),
        pruned('lcp', 1, 0.4, run_dir=str(tmp_path / 'gone')),
        pruned('lcp', 2, 0.4),
    )
    (run / 'report.html').write_text('')
    for folder, address in (('out', 'cells/a/run/'), ('merged', '../out/cells/a/run/')):
        page = comparison_page(comparison, tmp_path / folder)
        assert [found for found, _ in page.rows] == [f'{address}report.html', '', '']


def test_nothing_has_ended_yet(tmp_path):
    empty = of(pruned('lcp', 0, 0.4, state='not finished', dense={}, selected={}, final={}))
    empty.cells[0].macs = empty.cells[0].params = None
    page = Page(write_comparison_page(empty, tmp_path))
    assert '0 of 1 runs have ended' in page.text and 'not finished' in page.text
