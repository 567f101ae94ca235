"""Figures that facts work out of what they hold, by hand."""

import pytest

from mmdet_lcp.report.facts import GroupFacts, LayerFacts, LossFacts, StepFacts, WeightFacts


def test_unknown_step():
    with pytest.raises(ValueError, match=r"step is one of dense, .* not 'pruned'"):
        StepFacts('pruned')


def test_label_of_a_step():
    assert StepFacts('final').label == 'final'
    assert StepFacts('selected', 'backbone.conv1').label == 'backbone.conv1, selected'


def test_shares_of_a_group_are_those_among_its_figures():
    log = {'share_regression': 0.75, 'ridge': 1e-3, 'share_': 0.25}
    assert GroupFacts('g', 8, 4, 4, log=log).shares == {'regression': 0.75, '': 0.25}
    assert GroupFacts('g', 8, 4, 4).shares == {}


def test_shares_of_loss_terms():
    assert LossFacts(10, {'loss_cls': 3.0, 'loss_bbox': 1.0}).shares == {
        'loss_cls': 0.75,
        'loss_bbox': 0.25,
    }
    assert LossFacts(10, {'loss_cls': 0.0}).shares == {'loss_cls': 0.0}


def test_bits_of_a_weight():
    assert WeightFacts('w', 'pruned', 100, 20, 400, 25).bits == 2.0
    assert WeightFacts('w', '', 0, 0, 0, 0).bits == 0


def test_pairs_of_a_layer_as_json_has_them():
    layer = LayerFacts('conv', [8, 4], [80, 40], [800, 400], [1.5, 1.0])
    assert layer.channels == (8, 4) and layer.ms == (1.5, 1.0)
