"""The end of a run; what the files hold is in test_pruning_runner.py and test_deployment.py."""

import pytest
import torch
from runs import TWO_GROUPS


def test_latencies_are_measured_in_one_run(finished):
    """Both detectors stand in the report with times of the same minutes."""
    report = finished.report
    assert report['dense']['latency_ms'] > 0
    assert report['compressed']['latency_ms'] > 0


def test_the_report_tells_what_was_done(finished):
    """Two groups, fine-tuned for 2 epochs of 3 iterations each, and 4 epochs of retraining."""
    settings = finished.report['settings']
    assert settings['fine-tuning before each group'] == '2 x 2 epochs (6 iterations) at rate 0.001'
    assert settings['retraining'] == '4 epochs (12 iterations) at rate 0.02'
    assert settings['began with'].endswith('dense.pth')
    assert (settings['ranks'], settings['seed'], settings['batch']) == ('1', '0', '2 images')
    assert (settings['criterion'], settings['ratio']) == ('LCP', '0.5')
    assert settings['optimizer'].startswith('SGD, momentum 0.9')
    assert 'teacher' not in settings and finished.report['before'] == 'dense'
    page = (finished.work_dir / 'report.md').read_text()
    assert '## Settings' in page and '| 4 epochs (12 iterations) at rate 0.02' in page


def test_the_table_of_coco_is_printed_once(write_config, prune, plain_output, capsys):
    """Of seven measurements: two steps of each group, those of the beginning and of the end."""
    capsys.readouterr()
    run = prune(write_config('printed', TWO_GROUPS))
    printed = capsys.readouterr().out
    assert len(run.report['steps']) == 6
    assert printed.count('IoU=0.50:0.95 | area=   all | maxDets=100 ] =') == 2  # AP and AR
    log = next(run.work_dir.glob('2*/*.log')).read_text()
    assert log.count('copypaste') == 1 and log.count('Epoch(val)') >= 6


def test_sizes_are_those_of_the_same_thing(finished):
    """Of the dense detector, a file like the one that is handed out: weights and class names."""
    meta = torch.load(finished.work_dir / 'pruned.pth')['meta']
    dense = torch.load(finished.config.parent / 'dense.pth')['state_dict']
    file = finished.work_dir.parent / 'archive.pth'
    torch.save({'meta': meta, 'state_dict': dense}, file)
    told = finished.report['dense']['file_bytes']
    assert told == pytest.approx(file.stat().st_size, abs=256)  # the archive's name is inside
