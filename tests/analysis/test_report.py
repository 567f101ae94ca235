import json
import math

import cv2
import numpy as np
import pytest

from mmdet_lcp.analysis.report import (
    DetectorFacts,
    GroupFacts,
    Report,
    SkippedLayer,
    StepFacts,
    draw_steps,
    hardware,
    main_metric,
    read_report,
    report_markdown,
    summary_text,
    versions,
    write_report,
)
from mmdet_lcp.errors import CompressionError


def report(**changes):
    steps = [StepFacts('dense', None, {'pascal_voc/mAP': 0.836, 'pascal_voc/AP50': 0.836})]
    for i in range(13):
        name = f'backbone.features.{2 * i}'
        steps.append(StepFacts('selected', name, {'pascal_voc/AP50': 0.7 - 0.01 * i}))
        steps.append(StepFacts('finetuned', name, {'pascal_voc/AP50': 0.82 - 0.002 * i}))
    steps.append(StepFacts('final', None, {'pascal_voc/AP50': 0.824}))
    data = dict(
        method='LCP',
        seed=3,
        command='python tools/train.py configs/lcp/ssd300.py',
        seconds=3725,
        dense=DetectorFacts(
            {'pascal_voc/mAP': 0.836, 'pascal_voc/AP50': np.float32(0.836)},
            24_000_000,
            30_500_000_000,
            26_000_000_000,
            410.2,
        ),
        compressed=DetectorFacts(
            {'pascal_voc/mAP': 0.824, 'pascal_voc/AP50': 0.824},
            6_000_000,
            7_650_000_000,
            6_500_000_000,
            140.0,
            24_123_456,
        ),
        groups=[GroupFacts('backbone.features.0', 64, 32, 32, 4.2)],
        skipped=[SkippedLayer('neck.l2_norm', 'a | b')],
        steps=steps,
    )
    return Report(**(data | changes))


def test_json_has_the_promised_keys_and_comes_back(tmp_path):
    write_report(report(), tmp_path)
    data = json.loads((tmp_path / 'report.json').read_text())
    assert data['dense']['params'] == 24_000_000
    assert data['compressed']['file_bytes'] == 24_123_456
    assert data['compressed']['backbone_macs'] == 6_500_000_000
    assert data['groups'] == [
        dict(name='backbone.features.0', total=64, asked=32, kept=32, criterion_seconds=4.2)
    ]
    assert data['skipped'] == [dict(name='neck.l2_norm', reason='a | b')]
    assert data['steps'][1]['group'] == 'backbone.features.0'
    assert set(data['versions']) >= {'torch', 'mmdet', 'mmcv', 'mmengine', 'mmdet_lcp'}
    assert data['versions']['mmdet'] == '3.3.0'
    assert set(data['hardware']) == {'cpu', 'cores', 'threads', 'gpus'}
    again = read_report(tmp_path)
    assert again == read_report(tmp_path / 'report.json')
    assert again.groups == report().groups and again.steps == report().steps


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


@pytest.mark.parametrize(
    'keys, expected',
    [
        (['pascal_voc/mAP', 'pascal_voc/AP50'], 'pascal_voc/AP50'),
        (['coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75'], 'coco/bbox_mAP_50'),
        (['coco/segm_mAP_50', 'coco/bbox_mAP_50'], 'coco/bbox_mAP_50'),
        (['loss', 'x/mAP'], 'x/mAP'),
        (['x/recall'], 'x/recall'),
    ],
)
def test_main_metric(keys, expected):
    assert main_metric(dict.fromkeys(keys, 0.5) | {'text': 'AP50'}) == expected


def test_no_metric():
    with pytest.raises(CompressionError, match='val_evaluator'):
        main_metric({'a': 'text'})


def test_unreadable_reports(tmp_path):
    with pytest.raises(CompressionError, match='no such report'):
        read_report(tmp_path)
    path = tmp_path / 'report.json'
    for text, words in (
        ('{"method', 'no JSON'),
        ('{"method": 1}', 'no report'),
        ('[1]', 'no rep'),
    ):
        path.write_text(text)
        with pytest.raises(CompressionError, match=words):
            read_report(path)


def test_unknown_step():
    with pytest.raises(ValueError, match='step is one of'):
        StepFacts('middle')


def test_machine():
    assert hardware()['cpu'] and hardware()['threads'] >= 1
    assert versions()['torch']
