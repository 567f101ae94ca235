"""What stays at full precision: in mmdet's own detectors, and of layers that share weights."""

import pytest
from detectors import tiny_detector
from torch import nn

from mmdet_lcp.graph.run_order import RunOrder, run_order
from mmdet_lcp.weight_compression.full_precision import PARTS, READ_BY_ATTENTION, full_precision


@pytest.fixture(scope='module')
def faster_rcnn():
    detector = tiny_detector('faster_rcnn')
    return detector, run_order(detector)


RPN = {'rpn_head.rpn_conv', 'rpn_head.rpn_cls', 'rpn_head.rpn_reg'}
PREDICTIONS = {
    *('rpn_head.rpn_cls', 'rpn_head.rpn_reg'),
    *('roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.fc_reg'),
}


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        ((), set()),
        (('first',), {'backbone.conv1'}),
        (('predictions',), PREDICTIONS),
        (('rpn',), RPN),
        (PARTS, {'backbone.conv1'} | PREDICTIONS | RPN),
    ],
)
def test_the_parts_of_faster_rcnn(faster_rcnn, parts, expected):
    assert set(full_precision(*faster_rcnn, parts)) == expected


def test_reasons(faster_rcnn):
    reasons = full_precision(*faster_rcnn)
    assert reasons['backbone.conv1'] == 'it is the first layer'
    assert 'predictions' in reasons['roi_head.bbox_head.fc_cls']
    assert "RPN's own" in reasons['rpn_head.rpn_conv']


def test_layers_that_do_not_run_or_share_their_weights():
    model = nn.Sequential()
    model.stem, model.one, model.two, model.idle = (nn.Linear(2, 2) for _ in range(4))
    model.two.weight = model.one.weight
    order = RunOrder(('stem', 'one', 'two'), frozenset(), {})
    assert full_precision(model, order, ()) == {
        'one': 'it shares its weights with two',
        'two': 'it shares its weights with one',
        'idle': "it does not run in the detector's forward pass",
    }


def test_what_an_attention_reads_itself():
    model = nn.Sequential()
    model.attention, model.out = nn.MultiheadAttention(4, 2), nn.Linear(4, 4)
    order = RunOrder(('attention', 'out'), frozenset(), {})
    (reason,) = full_precision(model, order, ()).items()
    assert reason == ('attention.out_proj', READ_BY_ATTENTION)


def test_reference_points_are_kept_with_the_predictions():
    """Two outputs each; layers of that name that give features are none."""
    model, decoder = nn.Sequential(), nn.Sequential()
    model.reference_points_fc, decoder.ref_point_head = nn.Linear(8, 2), nn.Linear(8, 2)
    model.decoder, model.ref_point_head = decoder, nn.Linear(8, 8)
    order = RunOrder(tuple(dict(model.named_modules())), frozenset(), {})
    reasons = full_precision(model, order, ('predictions',))
    assert set(reasons) == {'reference_points_fc', 'decoder.ref_point_head'}
    assert full_precision(model, order, ()) == {}


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.never = nn.Linear(2, 2)
        self.b.weight = self.a.weight


def test_tied_and_idle_layers_are_left_alone():
    """A transform on one of two layers with the same weights would part them."""
    order = RunOrder(['a', 'b', 'c'], frozenset({'c'}), {})
    assert full_precision(Shared(), order, ()) == {
        'a': 'it shares its weights with b',
        'b': 'it shares its weights with a',
        'never': "it does not run in the detector's forward pass",
    }
    assert full_precision(Shared(), order)['c'].startswith('it makes predictions')
