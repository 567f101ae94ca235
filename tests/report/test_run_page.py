"""The page of a run."""

import re

import cv2
import numpy as np
import pytest
from html_pages import Page
from made_reports import report

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.report import run_page as module
from mmdet_lcp.report.facts import (
    DetectorFacts,
    GroupFacts,
    LayerFacts,
    SkippedLayer,
    TargetFacts,
    WeightFacts,
)
from mmdet_lcp.report.run_page import is_run, run_page, write_run_page
from mmdet_lcp.report.stored_pictures import FOLDER, INDEX

SHARES = dict(share_reconstruction=0.2, share_classification=0.5, share_regression=0.3)
WHOLE = dict(
    target=TargetFacts('macs', 0.25, 0.2488, 0.251, 0.031),
    notes=['The machine was busy.'],
    settings={'criterion': 'LCP'},
    groups=[GroupFacts('backbone.$a$', 64, 32, 32, 4.2, SHARES)],
    skipped=[SkippedLayer('neck.<b>', 'a | b')],
    layers=[LayerFacts('backbone.$a$', (64, 32), (1000, 500), (9000, 4500), (2.0, 1.5))],
)


def save_pictures(folder, count=3, side=64):
    """Noise, of which the last picture is one on which compression has cost something."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    rows = []
    for number in range(count):
        files = {kind: f'{number}_{kind}.jpg' for kind in ('truth', 'dense', 'compressed')}
        for name in files.values():
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / FOLDER / name), noise)
        remark = 'misses 3 objects' if number == count - 1 else ''
        rows.append(dict(files, boxes=[3, 2, 1], remark=remark, score_thr=0.3))
    write_json(folder / FOLDER / INDEX, {'pictures': rows})


def test_everything_on_one_page(tmp_path):
    write_json(tmp_path / 'report.json', report(**WHOLE).to_dict())
    for name in ('pruned_config.py', 'pruned.pth', 'plan.json'):
        (tmp_path / name).write_bytes(b'x' * 1500)
    save_pictures(tmp_path)
    path = write_run_page(tmp_path)
    assert path == tmp_path / 'report.html'
    page = Page(path)
    assert all(address.startswith('data:') for address in page.addresses)
    assert not re.search(r'(?:src|href|url\()\W*https?:', path.read_text())
    assert page.tags.count('img') == 3 * 3 and page.tags.count('svg') == 3 * 2
    for words in (
        'pascal_voc/AP50',
        'macs, share of dense',
        'The machine was busy.',
        'The compressed detector misses 3 objects.',
        'backbone.$a$',
        'neck.<b>',
        '64 → 32',
        '2.00 → 1.50',
        '50.0%',  # a share
        'python tools/train.py configs/lcp/ssd300.py',
        f'test.py" {tmp_path}/pruned_config.py {tmp_path}/pruned.pth',
        f'mmdet-lcp export {tmp_path}/pruned_config.py',
        '1.5 kB',
        'Seed 3; 1 h 02 min',
    ):
        assert words in page.text, words
    assert 'has not ended' not in page.text and 'b' not in page.tags


def test_the_figures_in_large_letters(tmp_path):
    write_json(tmp_path / 'report.json', report().to_dict())
    cards = {card.name: card for card in run_page(tmp_path).cards}
    assert list(cards) == ['mAP', 'multiply-accumulates', 'parameters', 'latency', 'file size']
    worse, better = cards['mAP'], cards['parameters']
    assert (worse.was, worse.now, worse.change, worse.better) == (
        '0.836',
        '0.824',
        '-0.012',
        False,
    )
    assert (better.was, better.now, better.change) == ('24.00 M', '6.00 M', '-75.0 %')
    assert better.better is True
    unknown = cards['file size']  # before
    assert (unknown.was, unknown.change, unknown.better) == ('n/a', '', None)


def test_a_packed_file_is_taken_apart(tmp_path):
    weights = [
        WeightFacts('backbone.a.weight', '4 bits', 1000, 250, 4000, 130),
        WeightFacts('backbone.a.bias', '', 10, 10, 40, 40),
    ]
    packed = report(weights=weights, compressed=DetectorFacts({}, 10, 20, file_bytes=200))
    write_json(tmp_path / 'report.json', packed.to_dict())
    page = Page(write_run_page(tmp_path))
    for words in ('The packed file', '4 bits 1 1.00 k 25.0% 4.0 kB 130 B 1.04', '20.2x'):
        assert words in page.text


def test_a_run_that_was_stopped_says_so(tmp_path):
    so_far = report(compressed=DetectorFacts(), steps=report().steps[:7], stages=13, stages_done=3)
    write_json(tmp_path / 'pruning_state' / 'so_far.json', so_far.to_dict())
    assert is_run(tmp_path) is False  # it has not begun
    write_json(tmp_path / 'pruning_state' / 'run.json', dict(seed=3, fingerprint={}))
    assert is_run(tmp_path) is True
    page = Page(write_run_page(tmp_path))
    assert '3 of 13 stages are done' in page.text and 'stopped half-way' in page.text
    assert 'backbone.features.4, finetuned' in page.text
    assert 'configs/lcp/ssd300.py --resume' in page.text
    assert 'mmdet-lcp export' not in page.text
    assert 'finds nothing' not in page.text
    figures = page.text.partition('All figures')[2].partition('Along the way')[0]
    assert figures.startswith(' dense pascal_voc/mAP 0.836 pascal_voc/AP50 0.836 parameters')
    # one that has ended before does not hide it
    write_json(tmp_path / 'report.json', report().to_dict())
    assert '3 of 13 stages are done' in Page(write_run_page(tmp_path)).text


def test_a_run_that_has_just_begun(tmp_path):
    write_json(tmp_path / 'pruning_state' / 'run.json', dict(seed=3, fingerprint={}))
    page = Page(write_run_page(tmp_path))
    assert 'has measured nothing yet' in page.text and 'svg' not in page.tags


def test_no_pictures_no_steps_still_a_page(tmp_path):
    empty = report(dense=DetectorFacts(), compressed=DetectorFacts(), groups=[], steps=[])
    write_json(tmp_path / 'report.json', empty.to_dict())
    page = Page(write_run_page(tmp_path))
    assert page.tags.count('img') == 0 and page.tags.count('svg') == 0
    assert 'Seed 3' in page.text


def test_nothing_there(tmp_path):
    with pytest.raises(CompressionError, match='holds no run'):
        write_run_page(tmp_path)
    (tmp_path / 'report.json').write_text('{')
    with pytest.raises(CompressionError, match='no JSON'):
        write_run_page(tmp_path)
    assert not (tmp_path / 'report.html').exists()


def test_pictures_take_limited_room(tmp_path, monkeypatch):
    """Of both kinds in turn, as long as there is room."""
    write_json(tmp_path / 'report.json', report().to_dict())
    save_pictures(tmp_path, 4)
    one = sum((tmp_path / FOLDER / f'0_{k}.jpg').stat().st_size for k in ('truth', 'dense')) * 1.5
    assert module._MOST_BYTES == 1_900_000
    monkeypatch.setattr(module, '_MOST_BYTES', 2.1 * one)
    page = run_page(tmp_path)
    assert (len(page.images), len(page.worst)) == (1, 1)
