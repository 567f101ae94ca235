"""The machine and the versions, against the system's own words."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError

import mmcv
import mmdet
import torch

from mmdet_lcp.measure.hardware import hardware, versions
from mmdet_lcp.version import __version__


def test_versions():
    found = versions()
    assert found['torch'] == str(torch.__version__)
    assert (found['mmdet'], found['mmcv']) == (mmdet.__version__, mmcv.__version__)
    assert found['mmdet_lcp'] == __version__
    assert found['python'] == platform.python_version()
    assert all(type(version) is str for version in found.values())


def test_what_is_not_installed(monkeypatch):
    def unknown(name):
        raise PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, 'mmcv', None)  # as import sees what is not there
    monkeypatch.setattr('importlib.metadata.version', unknown)
    assert versions()['mmcv'] is None


def test_the_machine():
    found = hardware()
    assert found['cores'] == len(os.sched_getaffinity(0))
    assert found['threads'] == torch.get_num_threads()
    assert len(found['gpus']) == torch.cuda.device_count()
    assert found['cpu']


def test_without_proc(monkeypatch):
    def missing(self):
        raise OSError

    monkeypatch.setattr('pathlib.Path.read_text', missing)
    assert hardware()['cpu'] == (platform.processor() or platform.machine())
