from pathlib import Path

import pytest
from mmdet.datasets import AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, SequentialSampler

from mmdet_lcp.engine.preflight import check_runner_keys, check_yields, readable
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
        (
            dict(val_dataloader=dict(sampler=dict(type='InfiniteSampler'))),
            r"val_dataloader\.sampler\.type='InfiniteSampler' never ends .* shuffle=False",
        ),
        (
            dict(test_dataloader=dict(sampler=dict(type=InfiniteSampler))),
            r'test_dataloader\.sampler\.type=.* measured on all images once',
        ),
    ],
)
def test_what_is_missing_is_named(change, told):
    with pytest.raises(CompressionError, match=told):
        check_runner_keys({**GOOD, **change}, resumed=False)


LOADERS = {
    'plain': dict(batch_size=4, drop_last=True),
    'of batches': dict(
        batch_sampler=AspectRatioBatchSampler(SequentialSampler(range(3)), 4, drop_last=True)
    ),
}


@pytest.mark.parametrize('kind', LOADERS)
def test_a_loader_without_a_batch_is_named(kind):
    loader = DataLoader(range(3), **LOADERS[kind])
    with pytest.raises(CompressionError) as error:
        check_yields('val_dataloader', loader)
    text = str(error.value)
    assert text.startswith('val_dataloader yields no batch: a rank has 3 images, batch_size=4 and')
    assert 'val_dataloader.batch_size to 3 or less, or set val_dataloader.drop_last=False' in text


@pytest.mark.parametrize('options', [dict(batch_size=3, drop_last=True), dict(batch_size=4)])
def test_a_loader_with_a_batch_passes(options):
    check_yields('train_dataloader', DataLoader(range(3), **options))


def test_unreadable_files_are_told_with_their_key():
    with (
        pytest.raises(CompressionError, match=r'`train_dataloader`.*gone\.json'),
        readable('train_dataloader'),
    ):
        Path('/nowhere/gone.json').read_text()


def test_other_errors_pass_through_readable():
    with pytest.raises(KeyError), readable('train_dataloader'):
        raise KeyError('x')
