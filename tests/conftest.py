"""What every test needs: mmdet's types found by name, whatever ran before in this process."""

import functools
from collections.abc import Iterator

import mmengine.config.utils
import pytest
from mmdet.utils import register_all_modules
from mmengine.registry import DefaultScope

register_all_modules(init_default_scope=False)


@pytest.fixture(autouse=True)
def mmdet_scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(autouse=True, scope='session')
def metafiles_read_once() -> Iterator[None]:
    """For each base ``mmdet::...`` mmengine reads a hundred YAML files, which takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine.config.utils, 'load', functools.cache(mmengine.config.utils.load))
        yield
