"""The pages of a report."""

import json
import math

import cv2
from made_reports import report

from mmdet_lcp.analysis.report import DetectorFacts, StepFacts
from mmdet_lcp.analysis.report_pages import (
    draw_steps,
    report_markdown,
    summary_text,
    write_report,
)


def test_markdown(tmp_path):
    write_report(report(), tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert 'detections.png' not in text and '](steps.png)' in text
    for words in (
        '| pascal_voc/AP50 |',
        '-0.012',
        '24.00 M',
        '-75.0 %',
        '30.50 G',
        '24.1 MB',
        'a \\| b',
        'backbone.features.24, finetuned',
        'python tools/train.py configs/lcp/ssd300.py',
        '1 h 02 min',
        'Seed 3',
    ):
        assert words in text
    (tmp_path / 'detections.png').write_bytes(b'')
    assert '](detections.png)' in report_markdown(report(), tmp_path)


def test_summary_ends_with_the_dense_compressed_table():
    text = summary_text(report())
    assert text.isascii()
    groups, last = text.index('| backbone.features.0'), text.index('compressed')
    assert groups < last
    assert text.rstrip().split('\n')[-2].startswith('| file size')
    assert '+LCP, 1 h 02 min' in text


def test_a_report_without_measurements_can_be_written(tmp_path):
    empty = report(dense=DetectorFacts(), compressed=DetectorFacts(), groups=[], steps=[])
    write_report(empty, tmp_path)
    assert summary_text(empty)
    assert not (tmp_path / 'steps.png').exists()
    steps = [StepFacts('dense'), StepFacts('final', None, {'a/mAP': math.nan})]
    write_report(report(steps=steps, seconds=math.nan), tmp_path)
    assert json.loads((tmp_path / 'report.json').read_text())['seconds'] is None


def test_metric_of_only_one_detector_is_shown():
    text = summary_text(report(dense=DetectorFacts({'coco/bbox_mAP': 0.4, 'note': 'x'})))
    row = next(line for line in text.split('\n') if 'bbox_mAP' in line)
    assert [cell.strip() for cell in row.split('|')[2:5]] == ['0.400', 'n/a', 'n/a']
    assert 'note' not in text


def test_steps_figure(tmp_path):
    draw_steps(report(), tmp_path / 'steps.png')
    height, width = cv2.imread(str(tmp_path / 'steps.png')).shape[:2]
    assert width > 1000 and height > 500
    assert [path.name for path in tmp_path.iterdir()] == ['steps.png']
