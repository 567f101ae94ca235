"""What every test needs: mmdet's types by name, and mmengine without its slow corners."""

import functools
import gc
from collections.abc import Iterator

import mmengine.config.config
import mmengine.config.utils
import pytest
from mmdet.utils import register_all_modules
from mmengine.registry import DefaultScope

register_all_modules(init_default_scope=False)

# Fixtures that several folders share, a file each.
pytest_plugins = ['made_detectors', 'made_problems', 'runs']


@pytest.fixture(autouse=True)
def mmdet_scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(autouse=True, scope='session')
def configs_take_no_seconds() -> Iterator[None]:
    """For a base ``mmdet::...`` mmengine reads a hundred YAML files, each time; and it lays out
    each config that it writes nicely."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine.config.utils, 'load', functools.cache(mmengine.config.utils.load))
        patch.setattr(
            mmengine.config.config, 'FormatCode', lambda text, **_: (text, True), raising=False
        )
        yield


@pytest.fixture(autouse=True, scope='session')
def no_garbage_among_imports() -> None:
    """For each data set mmengine collects garbage: not among all objects of PyTorch."""
    gc.collect()
    gc.freeze()
