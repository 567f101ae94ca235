"""Old import paths name the new ones."""

import importlib

import pytest

import mmdet_lcp  # noqa: F401
from mmdet_lcp.moved import MOVED


@pytest.mark.parametrize('old', MOVED)
def test_an_old_module_names_its_successor(old):
    new = f'mmdet_lcp.{MOVED[old]}'
    importlib.import_module(new)
    with pytest.raises(ImportError, match=f'no mmdet_lcp.{old} any more; it is {new} now'):
        importlib.import_module(f'mmdet_lcp.{old}')


def test_names_taken_from_an_old_package():
    with pytest.raises(ImportError, match=r'it is mmdet_lcp\.detectors\.taps now'):
        from mmdet_lcp.attachments import taps  # noqa: F401
    with pytest.raises(ImportError, match='look in mmdet_lcp: auxiliary, detectors'):
        from mmdet_lcp.attachments import Taps  # noqa: F401
    with pytest.raises(ImportError, match=r'look in mmdet_lcp: pruning\.criteria'):
        from mmdet_lcp.criteria import LCP  # noqa: F401


def test_what_never_was_is_an_error_as_ever():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'mmdet_lcp\.nothing'"):
        importlib.import_module('mmdet_lcp.nothing')
