"""Hooks of mmdet that switch at an epoch: tried on what they do in mmdet's own words."""

import types

import pytest
from mmdet.engine.hooks import PipelineSwitchHook, YOLOXModeSwitchHook
from mmengine.hooks import EMAHook

from mmdet_lcp.engine.mode_switches import switch_warnings
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.phase_loop import schedule_phases

# Epochs 0 and 1, then 2 to 21.
PHASES = schedule_phases([PhaseConfig(max_epochs=2), PhaseConfig(max_epochs=20)], 3)


def switched_at(hook) -> int | None:
    """The epoch in which mmdet's hook switches, found by running it."""
    switched = []
    loader = types.SimpleNamespace(
        dataset=types.SimpleNamespace(update_skip_type_keys=lambda _: None, pipeline=None)
    )
    head = types.SimpleNamespace()
    runner = types.SimpleNamespace(
        train_dataloader=loader,
        model=types.SimpleNamespace(bbox_head=head),
        logger=types.SimpleNamespace(info=lambda text: switched.append(runner.epoch)),
        max_epochs=PHASES[-1].end_epoch,
        epoch=0,
    )
    for epoch in range(runner.max_epochs):
        runner.epoch = epoch
        hook.before_train_epoch(runner)
    return switched[0] if switched else None


@pytest.mark.parametrize(
    ('hook', 'says'),
    [
        (PipelineSwitchHook(0, []), 'at epoch 1, too soon'),
        (PipelineSwitchHook(1, []), 'at epoch 2, too soon'),
        (PipelineSwitchHook(2, []), None),
        (PipelineSwitchHook(21, []), None),
        (PipelineSwitchHook(22, []), 'never'),
        (PipelineSwitchHook(280, []), 'never'),
        (YOLOXModeSwitchHook(num_last_epochs=15), None),
        (YOLOXModeSwitchHook(num_last_epochs=19), None),
        (YOLOXModeSwitchHook(num_last_epochs=20), 'at epoch 2, too soon'),
        (YOLOXModeSwitchHook(num_last_epochs=50), 'at epoch 1, too soon'),
        (EMAHook(), None),
    ],
)
def test_when_it_switches(hook, says):
    found = switch_warnings([hook], PHASES)
    if says is None:
        assert found == []
    else:
        (line,) = found
        key = 'switch_epoch=20' if 'Pipeline' in line else 'num_last_epochs=2'
        assert f'{says}: the last training of this run is its epochs 3 to 22' in line
        assert line.endswith(key)
    if isinstance(hook, EMAHook):
        return
    epoch = switched_at(hook)
    expected = 'never' if epoch is None else f'at epoch {epoch + 1}, too soon'
    assert (says is None) == (epoch is not None and 2 <= epoch < 22)
    assert says in (None, expected)
