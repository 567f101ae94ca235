"""The picture of the loss terms."""

import pytest
from made_reports import report
from PIL import Image

from mmdet_lcp.report.facts import LossFacts
from mmdet_lcp.report.loss_picture import draw_losses, loss_figure, loss_terms

PIECES = [
    LossFacts(10, dict(loss_cls=3.0, loss_mimic=1.0)),
    LossFacts(30, dict(loss_cls=0.5, loss_mimic=0.25, loss_late=0.25)),
]


def test_shares_add_up():
    assert PIECES[0].shares == {'loss_cls': 0.75, 'loss_mimic': 0.25}
    assert LossFacts(1, dict(a=0.0, b=0.0)).shares == {'a': 0.0, 'b': 0.0}


def test_a_bar_for_each_piece_as_wide_as_it_is_long():
    axes = loss_figure(report(losses=PIECES), (5, 3)).axes[0]
    bars = [patch for bars in axes.containers for patch in bars]
    assert loss_terms(report(losses=PIECES)) == ['loss_cls', 'loss_mimic', 'loss_late']
    # of each term both pieces: where it begins, how wide and high it is, what lies below
    shown = [(b.get_x(), b.get_width(), b.get_height(), b.get_y()) for b in bars]
    assert shown == [
        (0, 10, 0.75, 0),
        (10, 20, 0.5, 0),
        (0, 10, 0.25, pytest.approx(0.75)),
        (10, 20, 0.25, pytest.approx(0.5)),
        (0, 10, 0.0, pytest.approx(1)),
        (10, 20, 0.25, pytest.approx(0.75)),
    ]


def test_written_only_where_there_are_losses(tmp_path):
    assert draw_losses(report(), tmp_path / 'none.png') is False
    assert not (tmp_path / 'none.png').exists()
    assert draw_losses(report(losses=PIECES), tmp_path / 'a.png') is True
    assert Image.open(tmp_path / 'a.png').width > 300
