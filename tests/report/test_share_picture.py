"""The figure of the gradient shares."""

import cv2
from made_reports import report

from mmdet_lcp.report.facts import GroupFacts
from mmdet_lcp.report.share_picture import draw_shares

SHARES = dict(share_reconstruction=0.25, share_classification=0.5, share_regression=0.25)


def test_a_bar_for_each_group_with_shares(tmp_path):
    groups = [
        GroupFacts('backbone.a', 64, 32, 32, 1.0, SHARES),
        GroupFacts('backbone.b', 64, 32, 32, 1.0, {'loss_before': 3.0}),
    ]
    assert draw_shares(report(groups=groups), tmp_path / 'shares.png')
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / 'shares.png')), cv2.COLOR_BGR2RGB)
    of = {name: (picture == colour).all(2).sum() for name, colour in COLOURS.items()}
    # As much of the bar is of a colour as the share says; the legend adds a little of each.
    assert abs(of['classification'] / (of['reconstruction'] + of['regression']) - 1) < 0.1


def test_nothing_to_draw(tmp_path):
    assert not draw_shares(report(), tmp_path / 'shares.png')
    assert not list(tmp_path.iterdir())


# matplotlib's tab:gray, tab:orange and tab:blue
COLOURS = dict(
    reconstruction=(127, 127, 127), classification=(255, 127, 14), regression=(31, 119, 180)
)
