"""Runs that a signal, their data or their rate ends: what is told, and what is on disk."""

import signal
import time
from pathlib import Path

import pytest
import tiny
import torch
from processes import Script
from runs import SHORT, TRAIN

from mmdet_lcp import CompressionError
from mmdet_lcp.files import load_torch

DIVERGING = """
pruning['finetune'].update(max_iters=3, lr=1e30)
optim_wrapper.update(clip_grad=None)
"""
SETTING = 'optim_wrapper = _base_.optim_wrapper\n'


def wait_for(path: Path, script: Script) -> None:
    end = time.monotonic() + 240
    while not path.exists():
        assert script.process.is_alive() and time.monotonic() < end, script.err
        time.sleep(0.002)


def test_sigterm(finished, tmp_path):
    """It ends with a message and 143; resumed, the run comes to what it would have come to."""
    out = tmp_path / 'out'
    args = [finished.config, '--work-dir', out, '--resume']
    script = Script(TRAIN, args, tmp_path / '1')
    wait_for(out / 'pruning_state' / 'progress.pth', script)
    script.process.terminate()
    assert script.wait() == 128 + signal.SIGTERM
    assert script.err.strip().splitlines()[-1] == (
        'stopped by SIGTERM; the same command with --resume goes on from the last complete epoch '
        'or stage'
    )
    assert 'Traceback' not in script.err
    assert not (out / '.running').exists() and not list(out.rglob('*.tmp*'))
    Script(TRAIN, args, tmp_path / '2').check()
    assert (out / 'plan.json').read_bytes() == (finished.work_dir / 'plan.json').read_bytes()
    weights = load_torch(out / 'pruned.pth')['state_dict']
    assert weights.keys() == finished.weights.keys()
    for key, value in finished.weights.items():
        assert torch.equal(value, weights[key]), key


def test_a_training_that_diverges_writes_no_stage(write_config, build):
    runner = build(write_config('diverging', SHORT + SETTING + DIVERGING))
    with pytest.raises(CompressionError) as caught:
        runner.train()
    text = str(caught.value)
    assert 'Iteration 2: the loss is not finite; nan or inf ' in text
    assert '.jpg' in text or '.png' in text
    state = Path(runner.work_dir) / 'pruning_state'
    assert load_torch(state / 'stage.pth')['stages_done'] == 0
    assert not (state / 'progress.pth').exists()


def test_a_stage_with_broken_weights_is_not_written(write_config, build, monkeypatch):
    runner = build(write_config('broken', SHORT))
    settled = type(runner).stage_done

    def break_it(self, number):
        self.job.detector.backbone.stage4[1].conv.weight.data[0, 0, 0, 0] = torch.inf
        settled(self, number)

    monkeypatch.setattr(type(runner), 'stage_done', break_it)
    with pytest.raises(CompressionError, match=r'weights backbone\.stage4\.1\.conv\.weight\.'):
        runner.train()
    state = Path(runner.work_dir) / 'pruning_state'
    assert load_torch(state / 'stage.pth')['stages_done'] == 0


def test_an_image_that_is_cut_short_is_named(tmp_path, build):
    data = tiny.make_data(tmp_path / 'digits')
    config = tiny.make_config(tmp_path, data, 'cut', SHORT)
    image = sorted((data / 'images' / 'train').iterdir())[0]
    image.write_bytes(image.read_bytes()[:60])  # so little that no decoder fills up the rest
    with pytest.raises(CompressionError, match=rf'{image.name}: cannot be read as an image'):
        build(config).train()
