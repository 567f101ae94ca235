"""The table of all ratios, against values found by hand."""

from made_comparisons import COCO, control, of, pruned, three_methods

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison
from mmdet_lcp.comparison.results.summary import comparison_summary


def rows_of(comparison: Comparison) -> list[list[str]]:
    lines = comparison_summary(comparison).splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


def test_methods_best_first():
    headers, _, dense, *rows = rows_of(three_methods())
    assert headers == [
        *('ratio', 'method', 'seeds', 'mAP before retraining', 'mAP', 'AP50', 'AP75')
    ]
    assert dense == ['', 'dense', '1', '', '0.600', '0.800', '0.500']
    size = '0.5 (−75 % MACs)'
    # (0.50 + 0.44) / 2, deviation 0.06 / sqrt(2); 0.40, 0.42, 0.47 have 0.43 and 0.036
    rest = ['0.670 ± 0.042', '0.370 ± 0.042']
    assert rows == [
        [size, 'l1', '2', '**0.370 ± 0.042**', '**0.470 ± 0.042**', *rest],
        [size, 'lcp', '3', '0.330 ± 0.036', '0.430 ± 0.036', '0.630 ± 0.036', '0.330 ± 0.036'],
        [size, 'scratch', '1', '', '0.300', '0.500', '0.200'],
    ]


def test_bold_is_by_ratio_and_column():
    cells = [
        pruned('lcp', 0, 0.4),
        pruned('l1', 0, 0.5, selected={'pascal_voc/mAP': 0.1}),
        pruned('l1', 0, 0.2, ratio=0.7, macs=60_000_000),
    ]
    _, _, _, *rows = rows_of(of(*cells))
    assert [row[:2] + row[3:5] for row in rows] == [
        ['0.5 (−75 % MACs)', 'l1', '0.100', '**0.500**'],
        ['0.5 (−75 % MACs)', 'lcp', '**0.300**', '0.400'],
        ['0.7 (−90 % MACs)', 'l1', '**0.100**', '**0.200**'],
    ]


def test_what_is_as_large_as_the_dense_one_stands_on_top():
    retrained = control('dense_retrained', macs=600_000_000)
    _, _, dense, first, second = rows_of(of(pruned('lcp', 0, 0.4), retrained))
    assert dense[1] == 'dense'
    assert first == ['', 'dense_retrained', '1', '', '0.300', '0.500', '0.200']
    assert second[1] == 'lcp' and second[4] == '**0.400**'


def test_shares_of_the_multiply_accumulates():
    *_, row = rows_of(of(pruned('lcp', 0, 0.4, ratio='macs0.25')))
    assert row[0].startswith('0.25 of the multiply-accumulates')


def test_no_dense_detector():
    headers, _, row = rows_of(of(control('scratch', final={COCO: 0.3})))
    assert headers[3:] == ['mAP before retraining', 'mAP']
    assert row == ['0.5', 'scratch', '1', '', '**0.300**']


def test_nothing_has_ended():
    assert 'No run has ended' in comparison_summary(of(CellResult('lcp', 0.5, 0, 'NoUpdate')))
