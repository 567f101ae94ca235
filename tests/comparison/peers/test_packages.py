"""Packages that prune: found where they are installed, told of where not."""

import sys

import pytest
import torch_pruning

from mmdet_lcp.comparison.peers.packages import NAMES, package
from mmdet_lcp.errors import CompressionError


def test_installed():
    assert package('torch_pruning') is torch_pruning
    assert hasattr(package('torch_kirigami.pruning'), 'Greedy')


@pytest.mark.parametrize('module', NAMES)
def test_not_installed(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # as import sees what is not there
    words = rf'^{NAMES[module]} is not installed.* {module}_.*pip install .*mmdet_lcp\[peers\]'
    with pytest.raises(CompressionError, match=words):
        package(module)


def test_a_module_inside(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch_kirigami.pruning', None)
    with pytest.raises(CompressionError, match=r'^torch-kirigami is not installed'):
        package('torch_kirigami.pruning')
