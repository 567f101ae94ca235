"""The end of a run; what the files hold is in test_pruning_runner.py and test_deployment.py."""

import json

import pytest
import torch
from html_pages import Page
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


def test_the_page_shows_the_run(finished):
    page = Page(finished.work_dir / 'report.html')
    for words in ('LCP', 'backbone.stage4.0.conv', '64 → 32', 'mmdet-lcp export', 'ground truth'):
        assert words in page.text
    assert page.tags.count('img') >= 3 and 'has not ended' not in page.text
    assert not list(finished.work_dir.glob('*_state/so_far.json'))


def test_layers_are_told_before_and_after(finished):
    """In the order of execution; parameters and operations are parts of those of the whole."""
    layers, report = finished.report['layers'], finished.report
    names = [layer['name'] for layer in layers]
    assert names.index('backbone.stage4.0.conv') < names.index('backbone.stage4.1.conv')
    pruned = layers[names.index('backbone.stage4.0.conv')]
    assert pruned['channels'] == [64, 32] and pruned['params'][1] < pruned['params'][0]
    for side, index in (('dense', 0), ('compressed', 1)):
        for key in ('params', 'macs'):
            share = sum(layer[key][index] for layer in layers) / report[side][key]
            assert 0.9 < share <= 1
        assert all(layer['ms'][index] > 0 for layer in layers)


def test_back_ends_get_what_is_measured_along_the_way(finished):
    """In mmengine's own file; steps count the stages, of which there are two."""
    (path,) = finished.work_dir.glob('2*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = [row for row in rows if any(key.startswith('stages/') for key in row)]
    metric = [(r['step'], r['stages/coco/bbox_mAP']) for r in told if 'stages/coco/bbox_mAP' in r]
    steps = finished.report['steps']
    assert [step for step, _ in metric] == [0, 1, 1, 2, 2, 2]
    assert [value for _, value in metric] == [s['metrics']['coco/bbox_mAP'] for s in steps]
    kept = [row for row in told if 'stages/channels_kept' in row]
    assert [(r['step'], r['stages/channels_kept']) for r in kept] == [(1, 32), (2, 32)]
    assert [row['stages/channels_removed_in_all'] for row in kept] == [32, 64]
    for row, group in zip(kept, finished.report['groups'], strict=True):
        shares = {k: v for k, v in group['log'].items() if k.startswith('share_')}
        assert shares and {k: row[f'stages/{k}'] for k in shares} == pytest.approx(shares)
