"""The silhouette of a network, by matplotlib's own objects."""

from made_reports import report

from mmdet_lcp.report.facts import LayerFacts
from mmdet_lcp.report.network_picture import network_figure

LAYERS = [
    LayerFacts('backbone.a', (64, 32), (1000, 500), (9000, 4500), (2.0, 1.5)),
    LayerFacts('head.b', (16, 16), (700, 350), (600, 300), (0.5, 0.25)),
]


def test_outline_before_and_fill_after():
    axes = network_figure(report(layers=LAYERS), 8).axes
    assert [a.get_title(loc='left') for a in axes] == [
        'channels',
        'multiply-accumulates',
        'parameters',
        'milliseconds',
    ]
    filled, outline = (patch.get_data() for patch in axes[0].patches)
    assert list(filled.values) == [16, 8] and list(filled.baseline) == [-16, -8]
    assert list(outline.values) == [32, 8]
    filled, outline = (patch.get_data() for patch in axes[3].patches)
    assert list(filled.values) == [1.5, 0.25] and list(outline.values) == [2.0, 0.5]
    assert [label.get_text() for label in axes[3].get_xticklabels()] == ['backbone', 'head']


def test_groups_where_no_layers_are_known_and_nothing_without():
    (axes,) = network_figure(report(), 8).axes
    (filled, outline) = (patch.get_data() for patch in axes.patches)
    assert list(filled.values) == [16] and list(outline.values) == [32]
    assert network_figure(report(groups=[]), 8) is None
