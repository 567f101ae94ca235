from pathlib import Path

import pytest
from mmengine.dataset import InfiniteSampler

from mmdet_lcp.engine.preflight import check_runner_keys, readable
from mmdet_lcp.errors import CompressionError

GOOD = dict(train_dataloader={}, optim_wrapper={}, val_dataloader={}, load_from=__file__)


def test_good_keys_pass():
    check_runner_keys(GOOD, resumed=False)
    finite = dict(sampler=dict(type='DefaultSampler', shuffle=True))
    check_runner_keys({**GOOD, 'train_dataloader': finite}, resumed=False)


def test_a_resumed_run_needs_no_checkpoint():
    check_runner_keys({**GOOD, 'load_from': None}, resumed=True)


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (dict(train_dataloader=None), '`train_dataloader`'),
        (dict(optim_wrapper=None), '`optim_wrapper`'),
        (dict(val_dataloader=None), '`val_dataloader` nor `test_dataloader`'),
        (dict(load_from=None), 'set `load_from`'),
        (dict(load_from='nowhere.pth'), 'nowhere.pth'),
        (
            dict(train_dataloader=dict(sampler=dict(type='InfiniteSampler'))),
            r"sampler\.type='InfiniteSampler' never ends",
        ),
        (dict(train_dataloader=dict(sampler=dict(type=InfiniteSampler))), 'never ends an epoch'),
    ],
)
def test_what_is_missing_is_named(change, told):
    with pytest.raises(CompressionError, match=told):
        check_runner_keys({**GOOD, **change}, resumed=False)


def test_unreadable_files_are_told_with_their_key():
    with (
        pytest.raises(CompressionError, match=r'`train_dataloader`.*gone\.json'),
        readable('train_dataloader'),
    ):
        Path('/nowhere/gone.json').read_text()


def test_other_errors_pass_through_readable():
    with pytest.raises(KeyError), readable('train_dataloader'):
        raise KeyError('x')
