"""What a device is told to be, and what is said where its engine is missing."""

import sys
from pathlib import Path

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
