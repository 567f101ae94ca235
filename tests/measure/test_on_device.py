"""What a device is told to be, and what is said where its engine is missing."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmdet_lcp.measure import on_device


def test_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(on_device.KitError, match='pip install openvino'):
        on_device.engine('openvino')


def test_processor(monkeypatch):
    """Model, architecture and the widest vector units, from what Linux tells."""
    text = 'processor : 0\nmodel name : Chip 9\nflags : sse avx avx2 fma\n'
    monkeypatch.setattr(Path, 'read_text', lambda *_, **__: text)
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    assert on_device.processor() == 'Chip 9 (x86_64 AVX2)'
    text = 'processor : 0\nFeatures : fp asimd crc32\nCPU part : 0xd08\n'

    def read(path, **_):
        return text if path.name == 'cpuinfo' else 'Board Model B\0'

    monkeypatch.setattr(Path, 'read_text', read)
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    assert on_device.processor() == 'Board Model B (aarch64 NEON)'


class TestClock:
    def test_of_the_process_on_one_thread(self, monkeypatch):
        wall = time.perf_counter
        fine = lambda: wall() + 1
        monkeypatch.setattr(time, 'process_time', fine)
        assert on_device.clock_for(1) is fine
        assert on_device.clock_for(2) is wall

    def test_of_the_wall_where_the_process_clock_is_coarse(self, monkeypatch):
        """Ticks of 10 ms: a layer of 0.1 ms would take 0 or 10."""
        wall = time.perf_counter
        monkeypatch.setattr(time, 'process_time', lambda: int(wall() * 100) / 100)
        assert on_device.clock_for(1) is wall


class TestLeastMs:
    def least(self, readings: list[float]) -> tuple[float, int]:
        """The least time, and how many runs it took, by a clock that advances as told."""
        clock = iter(np.cumsum([0, *readings]).repeat(2)[1:].tolist())
        ran = []
        found = on_device.least_ms(ran.append, np.zeros(1), lambda: next(clock), seconds=0)
        return found, len(ran) - 1  # the first one warms up

    def test_the_least_of_two_runs(self):
        assert self.least([0.002, 0.003]) == (pytest.approx(2), 2)

    def test_runs_without_an_advance_do_not_count(self):
        assert self.least([0, 0.003, 0, 0.004]) == (pytest.approx(3), 4)

    def test_a_clock_that_stands_still(self):
        with pytest.raises(on_device.KitError, match='did not advance in 200 runs'):
            self.least([0] * on_device.MOST_RUNS)
