"""The picture of the metric along a run."""

import cv2
import pytest
from made_reports import report

from mmdet_lcp.report.facts import DetectorFacts, StepFacts
from mmdet_lcp.report.steps_picture import draw_steps, steps_figure


def test_a_picture(tmp_path):
    assert draw_steps(report(), tmp_path / 'steps.png')
    height, width = cv2.imread(str(tmp_path / 'steps.png')).shape[:2]
    assert width > 1000 and height > 500
    assert [path.name for path in tmp_path.iterdir()] == ['steps.png']


def test_nothing_measured(tmp_path):
    empty = report(dense=DetectorFacts(), steps=[StepFacts('dense'), StepFacts('final')])
    assert not draw_steps(empty, tmp_path / 'steps.png')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('values', 'height'),
    [((0.853, 0.858), 0.05), ((0.2, 0.8), 0.6 * 1.24)],
)
def test_noise_does_not_fill_the_height(values, height):
    steps = [
        StepFacts(s, None, {'AP50': v}) for s, v in zip(('dense', 'final'), values, strict=True)
    ]
    (axes,) = steps_figure(report(dense=DetectorFacts({'AP50': values[0]}), steps=steps)).axes
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(height, rel=0.02)
    assert low < min(values) and max(values) < high


def test_each_kind_of_step_has_its_entry():
    (axes,) = steps_figure(report()).axes
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert entries == ['dense', 'selected', 'finetuned', 'final']
    assert axes.get_ylabel() == 'pascal_voc/mAP'
