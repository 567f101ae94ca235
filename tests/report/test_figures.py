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


NAMES = ['$_{$', 'a$^{2}$', 'x_1']  # no formula, a formula, neither


def test_names_are_no_formulas(tmp_path):
    """Wherever they stand; matplotlib refuses the first name, and draws the second without $."""
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    for name in NAMES:
        axes.plot([0, 2], [1, 2], label=name)
    write_names(axes, NAMES)
    axes.set_ylabel(NAMES[0])
    axes.set_title(NAMES[0])
    axes.legend()
    with pytest.raises(ValueError, match=r'Parse\w*Exception'):
        figure.savefig(tmp_path / 'refused.png')
    save_figure(figure, tmp_path / 'a.png')
    renderer = figure.canvas.get_renderer()
    for label in axes.get_xticklabels():
        label.set_rotation(0)
        width = label.get_window_extent(renderer).width
        letters = renderer.get_text_width_height_descent(
            label.get_text(), label.get_fontproperties(), ismath=False
        )
        assert width == pytest.approx(letters[0])
