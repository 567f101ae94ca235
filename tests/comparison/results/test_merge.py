import pytest
from made_comparisons import control, metrics, of, pruned

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.comparison import CellResult
from mmdet_lcp.comparison.results.merge import merged


def names(cells) -> list[tuple]:
    return [(cell.method, cell.ratio, cell.seed) for cell in cells]


def test_cells_of_both_by_method_ratio_and_seed():
    one = of(pruned('lcp', 1, 0.4), pruned('l1', 0, 0.3), control('scratch'))
    other = of(pruned('lcp', 0, 0.4), pruned('lcp', 0, 0.3, ratio=0.3), pruned('dcp', 0, 0.2))
    whole = merged({'a': one, 'b': other})
    assert whole.methods == ['lcp', 'l1', 'scratch', 'dcp']
    assert names(whole.cells) == [
        ('lcp', 0.3, 0),
        ('lcp', 0.5, 0),
        ('lcp', 0.5, 1),
        ('l1', 0.5, 0),
        ('scratch', 0.5, 0),
        ('dcp', 0.5, 0),
    ]


def test_what_has_ended_stands_for_what_has_not():
    ended, not_ended = pruned('lcp', 0, 0.4), CellResult('lcp', 0.5, 0, 'NoUpdate')
    for sources in ([ended, not_ended], [not_ended, ended]):
        whole = merged({name: of(cell) for name, cell in zip('ab', sources, strict=True)})
        assert whole.cells == [ended]


def test_the_same_result_twice_is_one():
    assert merged({'a': of(pruned('lcp', 0, 0.4)), 'b': of(pruned('lcp', 0, 0.4))}).cells == [
        pruned('lcp', 0, 0.4)
    ]


def test_two_results_of_one_run():
    with pytest.raises(
        CompressionError, match=r'lcp at 0\.5 with seed 0 has ended in a and, .* b'
    ):
        merged({'a': of(pruned('lcp', 0, 0.4)), 'b': of(pruned('lcp', 0, 0.41))})


def test_two_dense_detectors():
    other = pruned('l1', 0, 0.4, dense=metrics(0.61))
    with pytest.raises(CompressionError, match='a, b: the cells disagree on the dense'):
        merged({'a': of(pruned('lcp', 0, 0.4)), 'b': of(other)})
