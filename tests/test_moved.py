"""Old import paths name the new ones."""

import importlib
import sys
import warnings

import pytest

import mmdet_lcp
from mmdet_lcp.moved import MOVED


@pytest.mark.parametrize('old', MOVED)
def test_an_old_path_names_its_successor(old):
    """Modules, and what could be taken from an old package."""
    new = f'mmdet_lcp.{MOVED[old]}'
    above, _, name = new.rpartition('.')
    try:
        importlib.import_module(new)
    except ModuleNotFoundError:  # a class or a function
        assert hasattr(importlib.import_module(above), name)
    package, _, name = f'mmdet_lcp.{old}'.rpartition('.')
    with (
        pytest.raises(ImportError, match=f'no mmdet_lcp.{old} any more; it is {new} now'),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter('ignore')
        exec(f'from {package} import {name}')


def test_what_nobody_took_from_a_package():
    with pytest.raises(ImportError, match='look in mmdet_lcp: auxiliary, detectors'):
        from mmdet_lcp.attachments import nothing  # noqa: F401


def test_an_old_package_alone_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmdet_lcp.criteria', raising=False)
    with pytest.warns(FutureWarning, match=r'there is no mmdet_lcp\.criteria any more; look in'):
        importlib.import_module('mmdet_lcp.criteria')
    monkeypatch.delattr(mmdet_lcp, 'criteria')
    with pytest.raises(AttributeError, match=r'look in mmdet_lcp: pruning\.criteria'):
        mmdet_lcp.criteria  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mmdet_lcp.nothing  # noqa: B018


def test_what_never_was_is_an_error_as_ever():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'mmdet_lcp\.nothing'"):
        importlib.import_module('mmdet_lcp.nothing')
