"""What a run was trained with, in words."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmdet_lcp.engine import settings as module
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.phase_loop import schedule_phases
from mmdet_lcp.engine.settings import phase_text, run_settings


def phases(*configs, epoch_length=5):
    return schedule_phases([PhaseConfig(**config) for config in configs], epoch_length)


@pytest.mark.parametrize(
    ('config', 'text'),
    [
        (dict(max_epochs=3, lr=0.01), '3 epochs (15 iterations) at rate 0.01'),
        (dict(max_epochs=1), '1 epoch (5 iterations) at rate 0.5'),
        (dict(max_iters=7, lr=1e-4), '7 iterations at rate 0.0001'),
        (dict(max_iters=1), '1 iteration at rate 0.5'),
        (dict(max_epochs=0), 'none'),
    ],
)
def test_a_phase_in_words(config, text):
    assert phase_text(phases(config)[0], 0.5) == text


def test_settings_of_two_ranks(monkeypatch):
    monkeypatch.setattr(module.dist, 'get_world_size', lambda: 2)
    optimizer = dict(type='SGD', lr=0.5, momentum=0.9)
    runner = SimpleNamespace(
        _load_from='dense.pth',
        seed=3,
        cfg=Config(dict(optim_wrapper=dict(optimizer=optimizer))),
        train_dataloader=SimpleNamespace(batch_size=4),
    )
    same = dict(max_iters=2)
    own = phases(same, same, dict(max_iters=3), same)
    named = list(zip(('tuning', 'tuning', 'tuning', 'end'), own, strict=True))
    assert run_settings(runner, named) == {
        'began with': 'dense.pth',
        'tuning': '2 x 2 iterations at rate 0.5; 3 iterations at rate 0.5',
        'end': '2 iterations at rate 0.5',
        'optimizer': 'SGD, momentum 0.9',
        'batch': '4 images on each of 2 ranks',
        'ranks': '2',
        'seed': '3',
    }
