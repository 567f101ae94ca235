"""What all diagrams have in common."""

import cv2
import pytest

from mmdet_lcp.report.figures import new_figure, save_figure, width_for, write_names


def test_a_whole_picture_of_the_asked_size(tmp_path):
    figure = new_figure(6, 4)
    figure.add_subplot()
    save_figure(figure, tmp_path / 'a.png')
    height, width = cv2.imread(str(tmp_path / 'a.png')).shape[:2]
    assert 0.7 * 720 < width <= 1.1 * 720 and 0.7 * 480 < height <= 1.1 * 480
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_names_stand_at_their_places():
    axes = new_figure(6, 4).add_subplot()
    write_names(axes, ['first', 'second'])
    assert list(axes.get_xticks()) == [0, 1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ['first', 'second']
    assert {label.get_horizontalalignment() for label in axes.get_xticklabels()} == {'right'}


@pytest.mark.parametrize(('names', 'width'), [(0, 6), (5, 6), (20, 11.5), (1000, 30)])
def test_width(names, width):
    assert width_for(names) == width
