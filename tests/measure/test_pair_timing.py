"""Times of two detectors in turn, on made-up clocks."""

import time

import pytest
import torch
from torch import nn

from mmdet_lcp.measure import pair_timing as module
from mmdet_lcp.measure.pair_timing import PairTiming, time_pair


def test_the_least_counts_and_the_rounds_tell_the_spread():
    timing = PairTiming([10.0, 20.0, 12.0], [6.0, 6.0, 5.0])
    assert timing.ms == (10.0, 5.0) and timing.share == 0.5
    assert timing.shares == pytest.approx((0.3, 0.6))


@pytest.mark.parametrize(
    ('first', 'second', 'waited', 'words'),
    [
        ([10.0, 12.0], [5.0, 5.0], 1.0, []),
        ([10.0, 15.0], [5.0, 5.0], 1.0, ['differ by 50 %', '0.333 to 0.500 of the latency']),
        ([10.0, 10.0], [5.0, 7.0], 1.0, ['differ by 40 %']),
        ([10.0, 10.0], [5.0, 5.0], 1.2, []),
        ([10.0, 10.0], [5.0, 5.0], 2.0, ['waited 100 % of its own time']),
    ],
)
def test_a_busy_machine(first, second, waited, words):
    busy = PairTiming(first, second, waited).busy
    assert bool(busy) == bool(words)
    assert all(text in busy for text in words)


@pytest.fixture
def machine(monkeypatch):
    """Detectors take their `ms`; a thread waits as long again for others."""
    asked = []

    def latency_ms(detector, size, runs, warmup, pick, clock):
        asked.append((detector.ms, pick, clock))
        return detector.ms

    monkeypatch.setattr(module, 'latency_ms', latency_ms)
    return asked


class Timed(nn.Linear):
    def __init__(self, ms: float) -> None:
        super().__init__(1, 1)
        self.ms = ms


@pytest.mark.parametrize(('threads', 'clock'), [(1, time.process_time), (2, time.perf_counter)])
def test_both_take_turns_on_the_undisturbed_clock(machine, monkeypatch, threads, clock):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    timing = time_pair(Timed(4.0), Timed(3.0), (8, 8))
    assert timing.ms == (4.0, 3.0)
    assert [ms for ms, _, _ in machine] == [4.0, 3.0] * module.ROUNDS
    assert {pick for _, pick, _ in machine} == {min}
    assert {used for _, _, used in machine} == {clock}
