"""The pages of a report."""

import json
import math

import cv2
from made_reports import report

from mmdet_lcp.report.facts import DetectorFacts, GroupFacts, StepFacts, TargetFacts
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.report_pages import report_markdown, summary_text, write_report


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


def test_what_was_measured_before_retraining_has_a_column():
    text = report_markdown(report(pruned_metrics={'pascal_voc/AP50': 0.123}))
    rows = [line.split('|')[1:-1] for line in text.split('\n') if line.startswith('|')]
    assert [cell.strip() for cell in rows[0]] == [
        '',
        'dense',
        'before retraining',
        'compressed',
        'change',
    ]
    ap50 = next(row for row in rows if row[0].strip() == 'pascal_voc/AP50')
    assert [cell.strip() for cell in ap50[1:4]] == ['0.836', '0.123', '0.824']
    macs = next(row for row in rows if row[0].strip() == 'MACs')
    assert [cell.strip() for cell in macs[1:4]] == ['30.50 G', '', '7.65 G']


def test_a_detector_that_finds_nothing_has_zeros_with_the_reason():
    """Before and after are told, even if the evaluator has told nothing of one of them."""
    keys = ('pascal_voc/mAP', 'pascal_voc/AP50')
    for found in ({}, dict.fromkeys(keys, 0.0)):
        blind = report(compressed=DetectorFacts(dict(found), 100))
        for text in (report_markdown(blind), summary_text(blind)):
            rows = [line.split('|')[1:-1] for line in text.split('\n') if line.startswith('|')]
            cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
            assert cells['pascal_voc/AP50'] == ['0.836', '0.000', '-0.836']
            assert 'Every metric of the compressed detector is 0: it finds nothing' in text
            assert 'metric of the dense' not in text
    blind = report(dense=DetectorFacts({}, 100))
    assert 'Every metric of the dense detector is 0' in report_markdown(blind)
    assert 'Every metric' not in report_markdown(report())


def test_steps_that_find_nothing_are_zero():
    steps = [StepFacts('dense', None, {'x/mAP': 0.5}), StepFacts('selected', 'a', {})]
    assert [step.metrics for step in report(steps=steps).steps] == [{'x/mAP': 0.5}, {'x/mAP': 0.0}]


def test_what_the_run_began_with_has_its_name():
    """A link of a chain does not call what the one before has made dense."""
    second = report(
        before='after 1_pruning',
        settings={'teacher': 'big.py', 'retraining': '2 epochs'},
        target=TargetFacts('macs', 0.5, 0.48, 0.49, 0.2),
    )
    for text in (report_markdown(second), summary_text(second)):
        assert 'dense' not in text and 'after 1_pruning' in text
        assert 'macs, share of after 1_pruning' in text
    page = report_markdown(second)
    assert '| teacher    | big.py' in page and '| retraining | 2 epochs' in page
    assert '## Settings' not in report_markdown(report())


def test_a_latency_has_its_spread_and_its_reason():
    measured = report(
        target=TargetFacts('latency', 0.6, 0.58, 0.645, 0.2, 0.609, [0.5, 0.7]),
        dense=DetectorFacts(latency_ms=50.0, latency_range_ms=[50.0, 65.0]),
        compressed=DetectorFacts(latency_ms=32.25),
        notes=['The machine was busy.'],
    )
    for text in (report_markdown(measured), summary_text(measured)):
        rows = [line.split('|')[1:-1] for line in text.split('\n') if line.startswith('|')]
        rows = [[cell.strip() for cell in row] for row in rows]
        assert ['latency', '50.0 ms (50.0 to 65.0)', '32.2 ms', '-35.5 %'] in rows
        head = ['target', 'asked', 'predicted', 'measured then', 'reached', 'smallest possible']
        figures = ['0.600', '0.580', '0.609', '0.645 (0.500 to 0.700)', '0.200']
        assert head in rows and ['latency, share of dense', *figures] in rows
        assert 'The machine was busy.' in text


def test_a_latency_in_a_runtime_is_told_apart_from_the_milliseconds_of_pytorch():
    target = TargetFacts('latency', 0.8, 0.8, 0.779, 0.1, 0.755, runtime='onnxruntime')
    text = report_markdown(report(target=target))
    assert 'latency in onnxruntime, share of dense' in text and 'reached, in PyTorch' in text


def test_gradient_shares_have_a_table_and_a_picture(tmp_path):
    shares = dict(share_reconstruction=0.25, share_classification=0.5, share_regression=0.25)
    groups = [
        GroupFacts('backbone.a', 64, 32, 32, 1.0, {**shares, 'loss_before': 3.0}),
        GroupFacts('backbone.b', 64, 32, 32, 1.0, {'loss_before': 3.0}),
    ]
    assert groups[0].shares == dict(reconstruction=0.25, classification=0.5, regression=0.25)
    write_report(report(groups=groups), tmp_path)
    text = (tmp_path / 'report.md').read_text()
    cells = next(
        line for line in text.split('## Gradient shares')[1].split('\n') if 'backbone.a' in line
    )
    assert [cell.strip() for cell in cells.split('|')[2:5]] == ['25.0%', '50.0%', '25.0%']
    assert '](shares.png)' in text
    picture = cv2.imread(str(tmp_path / 'shares.png'))
    assert picture.shape[0] > 300


def test_no_shares_no_picture(tmp_path):
    write_report(report(), tmp_path)
    assert not (tmp_path / 'shares.png').exists()
    assert 'Gradient shares' not in (tmp_path / 'report.md').read_text()


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


def test_asked_and_reached_stand_side_by_side(tmp_path):
    target = TargetFacts('macs', 0.25, 0.2488, 0.251, 0.031)
    for text in (report_markdown(report(target=target)), summary_text(report(target=target))):
        row = next(line for line in text.split('\n') if 'macs, share of dense' in line)
        cells = [cell.strip() for cell in row.split('|')[2:-1]]
        assert cells == ['0.250', '0.249', '0.251', '0.031']
    assert 'share of dense' not in report_markdown(report()) + summary_text(report())
    write_report(report(target=target), tmp_path)
    assert read_report(tmp_path).target == target
