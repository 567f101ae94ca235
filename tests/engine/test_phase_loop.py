"""Phases, laid end to end."""

from itertools import pairwise
from types import SimpleNamespace

from mmengine.hooks import IterTimerHook, iter_timer_hook
from mmengine.logging import MessageHub
from torch import nn
from torch.utils.data import DataLoader

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.phase_loop import PhaseTrainLoop, schedule_phases


def test_phases_by_hand():
    configs = [
        PhaseConfig(max_epochs=2),  # 10 iterations
        PhaseConfig(max_iters=7),  # an epoch and a part of one
        PhaseConfig(max_iters=0),
        PhaseConfig(max_iters=5),  # one epoch exactly
        PhaseConfig(max_epochs=0),
        PhaseConfig(max_iters=1),
    ]
    phases = schedule_phases(configs, epoch_length=5)
    table = [(p.first_epoch, p.epochs, p.first_iter, p.iters) for p in phases]
    assert table == [(0, 2, 0, 10), (2, 2, 10, 7), (4, 0, 17, 0), (4, 1, 17, 5), (5, 0, 22, 0),
                     (5, 1, 22, 1)]  # fmt: skip
    assert [p.config for p in phases] == configs
    for before, after in pairwise(phases):
        assert (before.end_epoch, before.end_iter) == (after.first_epoch, after.first_iter)
    assert (phases[-1].end_epoch, phases[-1].end_iter) == (6, 23)


def test_no_phases():
    assert schedule_phases([], 3) == []


class Clock:
    """Stands still but for the steps of a training."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Model(nn.Module):
    """A step of it takes as many seconds as it is told."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.seconds = clock, 1.0

    def train_step(self, batch, optim_wrapper):
        self.clock.now += self.seconds
        return {}


class Runner:
    """What the loop and the timer ask of a runner; notes the ETA behind every iteration."""

    seed = rank = 0
    val_loop = optim_wrapper = None
    logger = SimpleNamespace(warning=lambda *_: None)

    def __init__(self, clock: Clock, name: str) -> None:
        self.hooks = [IterTimerHook()]
        self.message_hub = MessageHub.get_instance(name)
        self.model = Model(clock)
        self.eta: list[float] = []

    def call_hook(self, name: str, **given) -> None:
        for hook in self.hooks:
            getattr(hook, name)(self, **given)
        if name == 'after_train_iter':
            self.eta.append(self.message_hub.get_info('eta'))

    def save_progress(self) -> None:
        pass

    iter = property(lambda self: self.loop.iter)
    max_iters = property(lambda self: self.loop.max_iters)


def test_the_eta_is_that_of_the_present_phases_pace(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(iter_timer_hook, 'time', clock)
    runner = Runner(clock, 'test_phase_loop')
    runner.loop = PhaseTrainLoop(runner, DataLoader(range(6), batch_size=2))
    configs = [PhaseConfig(max_iters=3), PhaseConfig(max_iters=2), PhaseConfig(max_epochs=1)]
    phases = schedule_phases(configs, epoch_length=3)
    runner.loop.plan(phases)
    for phase, seconds in zip(phases, (2.0, 1.0, 4.0), strict=True):
        runner.model.seconds = seconds
        runner.loop.run_phase(phase)
    left = [7, 6, 5, 4, 3, 2, 1, 0]
    assert runner.eta == [2.0 * n for n in left[:3]] + [1.0 * n for n in left[3:5]] + [
        4.0 * n for n in left[5:]
    ]
