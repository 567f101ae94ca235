from pathlib import Path

import comparison_ground
import pytest
import tiny

from mmdet_lcp.comparison import Request, plan_comparison


@pytest.fixture(scope='session')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('comparison')
    tiny.make_data(folder / 'digits')
    return folder


@pytest.fixture(scope='session')
def config(folder) -> str:
    return str(tiny.make_config(folder, folder / 'digits', 'ground', comparison_ground.GROUND))


@pytest.fixture(scope='session')
def plan(config):
    names = ['lcp', 'lcp+exact', 'lcp_exact', 'scratch', 'uniform']
    return plan_comparison(Request(config, names, [0.5], [3, 1], finetune_iters=2))
