"""What PruningRunner does not show: the loop's data loader and the small helpers."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.config.fingerprint import changes, fingerprint
from mmdet_lcp.engine.phased_runner import on_cpu
from mmdet_lcp.engine.state import KEPT


def test_on_cpu_keeps_names_and_values():
    weights = nn.Linear(2, 1).state_dict()
    copied = on_cpu(weights)
    assert list(copied) == list(weights)
    assert all(torch.equal(copied[key], weights[key]) for key in weights)


def test_workers_are_seeded_anew_every_epoch(build, write_config, plain_output):
    """A worker's seed comes from PyTorch's, and no worker outlives an epoch."""
    runner = build(write_config('workers', 'train_dataloader.update(num_workers=1)'))
    runner.build_phase_loop()
    loader = runner.train_dataloader
    assert loader.persistent_workers is False
    assert loader.worker_init_fn.func.__name__ == 'seed_worker'


def test_phases_are_laid_end_to_end(build, write_config, plain_output):
    runner = build(write_config('phases'))
    runner.build_phase_loop()
    runner.plan_phases([runner.pruning.finetune, runner.pruning.retrain], 1)
    # 6 images in batches of 2: 3 iterations an epoch; 1 and 2 epochs
    assert [(p.first_iter, p.iters) for p in runner.phases] == [(0, 3), (3, 6)]
    assert (runner.max_epochs, runner.max_iters) == (3, 9)


def test_a_rate_that_nothing_trains_at_is_told(build, write_config, plain_output, monkeypatch):
    runner = build(write_config('rates'))
    runner.build_phase_loop()
    told = []
    monkeypatch.setattr(runner.logger, 'info', told.append)
    retrain = runner.pruning.retrain
    own = runner.cfg.optim_wrapper.optimizer.lr
    for rate in (None, own):  # the others are no training, or have a rate of their own
        others = [replace(retrain, max_epochs=0), replace(retrain, lr=own / 4)]
        runner.plan_phases([*others, replace(retrain, lr=rate)], 1)
    assert told == []
    runner.plan_phases([replace(retrain, lr=0.004), replace(retrain, lr=0.003)], 1)
    (line,) = told
    assert line.startswith(f'optim_wrapper.optimizer.lr={own} is not used')
    assert line.endswith('(0.003, 0.004)')


def test_a_multiple_of_the_detectors_own_rate(build, write_config, plain_output, monkeypatch):
    runner = build(write_config('multiples'))
    runner.build_phase_loop()
    told = []
    monkeypatch.setattr(runner.logger, 'info', told.append)
    retrain = runner.pruning.retrain
    own = runner.cfg.optim_wrapper.optimizer.lr
    half = replace(retrain, lr=None, lr_factor=0.5)
    runner.plan_phases([replace(retrain, lr=own / 4), half], 1)
    assert told == []  # the own rate is read
    assert runner._optimizer_cfg(half).optimizer.lr == own / 2
    assert runner.cfg.optim_wrapper.optimizer.lr == own
    del runner.cfg.optim_wrapper.optimizer['lr']
    with pytest.raises(CompressionError, match=r'lr_factor=0\.5 is a multiple of optim_wrapper'):
        runner.plan_phases([half], 1)


def test_a_training_does_not_change_what_the_run_depends_on(build, write_config, plain_output):
    """mmengine adds keys to configs while it builds and trains."""
    runner = build(write_config('fingerprints'))
    before = copy.deepcopy(runner._fingerprint)
    runner.build_phase_loop()
    retrain = runner.pruning.retrain
    short = replace(retrain, max_epochs=None, max_iters=1, lr_factor=0.5, lr=None)
    runner.plan_phases([short], 1)
    runner.call_hook('before_run')
    runner.train_phase(0, runner.model)
    assert runner._fingerprint == before
    assert changes(before, fingerprint(runner.cfg, KEPT)) == []
