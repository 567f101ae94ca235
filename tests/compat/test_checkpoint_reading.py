"""mmengine's checkpoints are read, and nothing else."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleLR
from mmengine.runner import Runner
from torch import nn

from mmdet_lcp import compat
from mmdet_lcp.errors import CompressionError

from .helpers import checks_pickles, reload


class Points(BaseDataset):
    METAINFO: ClassVar[dict] = dict(classes=('a', 'b'), palette=[(1, 2, 3)])

    def load_data_list(self):
        return [dict(x=float(i)) for i in range(8)]

    def prepare_data(self, index):
        return dict(inputs=torch.tensor([self.get_data_info(index)['x']]))


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        y = self.layer(torch.stack(inputs) if isinstance(inputs, list) else inputs)
        return dict(loss=((y - 2) ** 2).mean()) if mode == 'loss' else y


class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(score=np.float64(len(results)), count=np.int64(3))


def runner(work_dir, epochs: int, **changes) -> Runner:
    data = dict(
        batch_size=2,
        num_workers=0,
        dataset=Points(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='pseudo_collate'),
    )
    arguments = dict(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=data,
        val_dataloader=data,
        val_evaluator=[Nothing()],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.5, end=1),
            dict(type='MultiStepLR', milestones=[1]),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, save_best='score', rule='greater')
        ),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=f'{Path(work_dir).name}_{epochs}_{len(changes)}',
        default_scope='mmengine',
        log_level='ERROR',
        cfg=Config(dict(some=dict(key=1))),
    )
    arguments.update(changes)
    return Runner(**arguments)


def test_a_runner_reads_the_checkpoint_that_it_wrote(tmp_path):
    first = runner(tmp_path, epochs=1)
    first.train()
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert {'message_hub', 'optimizer', 'param_schedulers', 'state_dict'} <= set(saved)
    assert isinstance(saved['message_hub']['log_scalars']['train/loss'], HistoryBuffer)

    second = runner(tmp_path, epochs=2, resume=True, custom_hooks=[])
    second.load_or_resume()
    assert second.epoch == 1 and second.iter == 4
    assert torch.equal(second.model.layer.weight, saved['state_dict']['layer.weight'])

    second = runner(tmp_path, epochs=2, resume=True, randomness=dict(seed=1))
    second.train()
    assert second.epoch == 2 and (tmp_path / 'epoch_2.pth').exists()
    best = second.message_hub.get_info('best_score')
    assert best == 8.0 or best == 4.0


@pytest.mark.parametrize('strategy', ['cos', 'linear'])
def test_one_cycle_schedules_can_be_resumed(strategy):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, eta_max=0.1, total_steps=10, anneal_strategy=strategy)
    state = reload(scheduler.state_dict())
    assert state['anneal_func'] is getattr(OneCycleLR, f'_annealing_{strategy}')


@pytest.mark.parametrize(
    'value',
    [
        np.float64(0.5),
        np.float32(0.5),
        np.int64(-3),
        np.bool_(True),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.zeros((0, 2), np.float32),
        np.asfortranarray(np.random.default_rng(0).random((3, 4))),
    ],
    ids=lambda v: f'{type(v).__name__}-{v.dtype}',
)
def test_numpy_numbers_come_back_as_they_were(value):
    back = reload({'value': value})['value']
    assert type(back) is type(value) and back.dtype == value.dtype
    assert np.array_equal(back, value)


def test_a_history_without_entries_comes_back():
    back = reload(HistoryBuffer())
    assert [len(part) for part in back.data] == [0, 0]


def test_history_buffer_works_after_the_journey():
    buffer = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 1])
    back = reload(buffer)
    back.update(5.0)
    assert back.statistics('mean') == 3.0 and back.statistics('max') == 5.0
    assert back.statistics('min') == 1.0 and back.statistics('current') == 5.0


def test_config_dict_comes_back():
    back = reload(dict(meta=ConfigDict(classes=('a',), nested=dict(x=1))))['meta']
    assert type(back) is ConfigDict and back.nested.x == 1


@checks_pickles
def test_numpy_1_names_are_understood():
    """A checkpoint written under NumPy 1 says ``numpy.core``, under NumPy 2 ``numpy._core``."""
    file = io.BytesIO()
    torch.save(
        {'a': np.arange(3.0), 'b': np.float64(2)}, file, _use_new_zipfile_serialization=False
    )
    raw = file.getvalue()
    here = b'numpy._core' if b'numpy._core' in raw else b'numpy.core'
    for name in (b'numpy._core', b'numpy.core'):
        back = torch.load(io.BytesIO(raw.replace(here, name)), weights_only=True)
        assert back['a'].tolist() == [0, 1, 2] and back['b'] == 2


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@checks_pickles
@pytest.mark.parametrize(
    'evil',
    [
        Call(os.system, 'true'),
        Call(eval, '1'),
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, HistoryBuffer, '__class__'),
        Call(getattr, OrderedDict, 'mro'),
        Call(getattr, np.ndarray, '__new__'),
        Call(np.ndarray, (1,), 'O', bytes(8)),
        Call(np.dtype, 'O'),
        Call(np.dtype, 'V8'),
        np.array([None], dtype=object),
        np.array(['a']),
    ],
    ids=lambda e: str(getattr(e, 'call', type(e)))[:60],
)
def test_everything_else_is_still_refused(evil):
    file = io.BytesIO()
    torch.save({'state_dict': evil}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file)


@checks_pickles
def test_mmengine_refuses_a_malicious_checkpoint(tmp_path):
    from mmengine.runner import load_checkpoint

    mark = tmp_path / 'mark'
    torch.save({'state_dict': Call(os.system, f'touch {mark}')}, tmp_path / 'evil.pth')
    with pytest.raises(CompressionError, match=r'not plain weights.*refused') as caught:
        load_checkpoint(Line(), str(tmp_path / 'evil.pth'))
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)
    assert not mark.exists()


class Refused:
    """A class that no checkpoint may name."""


def test_the_forks_loader_keeps_torchs_check_and_what_is_allowed(tmp_path, monkeypatch):
    """onedl-mmengine has a loader that reads without the check what torch has refused."""
    from mmengine.runner import checkpoint

    def lax(file, map_location=None, weights_only=None):
        return torch.load(file, map_location=map_location, weights_only=False)

    monkeypatch.setattr(checkpoint, '_safe_torch_load', lax, raising=False)
    path = tmp_path / 'refused.pth'
    torch.save({'state_dict': {}, 'other': Refused()}, path)
    assert isinstance(checkpoint._safe_torch_load(path)['other'], Refused)
    allowed = set(torch.serialization.get_safe_globals())
    compat.apply()
    with pytest.raises(CompressionError, match='Refused'):
        checkpoint._safe_torch_load(path)
    torch.save({'state_dict': {'a': torch.ones(2)}, 'log': HistoryBuffer([1.0], [1])}, path)
    assert checkpoint._safe_torch_load(path)['state_dict']['a'].sum() == 2
    assert isinstance(checkpoint.CheckpointLoader.load_checkpoint(str(path))['log'], HistoryBuffer)
    assert set(torch.serialization.get_safe_globals()) == allowed
