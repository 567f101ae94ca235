"""The command that repeats a run."""

import pytest

from mmdet_lcp.engine import command_line as module
from mmdet_lcp.engine.command_line import command_line


@pytest.fixture
def command(monkeypatch):
    def of(text: str, **environment: str) -> str:
        monkeypatch.setattr(module.sys, 'argv', text.split())
        monkeypatch.setattr(module.os, 'environ', environment)
        return command_line()

    return of


def test_is_what_was_typed(command, monkeypatch):
    assert command('tools/train.py a.py --work-dir b') == 'python tools/train.py a.py --work-dir b'
    monkeypatch.setattr(module.sys, 'argv', ['t.py', 'a b.py'])
    assert command_line() == "python t.py 'a b.py'"
    assert command('/usr/bin/pytest -x') == ''
    monkeypatch.setattr(module.sys, 'argv', ['mmdet-lcp train', 'a.py', '--resume'])
    assert command_line() == 'mmdet-lcp train a.py'


@pytest.mark.parametrize(
    'arguments',
    [
        'a.py --resume --seed 1',
        'a.py --seed 1 --resume',
        'a.py --cfg-options resume=True --seed 1',
        'a.py --seed 1 --cfg-options resume=True',
    ],
)
def test_begins_at_the_beginning(command, arguments):
    assert command(f't.py {arguments}') == 'python t.py a.py --seed 1'
    kept = 't.py a.py --cfg-options resume=True x=1'
    assert command(kept) == 'python t.py a.py --cfg-options x=1'


@pytest.mark.parametrize(
    ('environment', 'launcher'),
    [
        (dict(WORLD_SIZE='2', LOCAL_WORLD_SIZE='2'), 'torchrun --nproc-per-node=2'),
        (dict(WORLD_SIZE='8', LOCAL_WORLD_SIZE='4'), 'torchrun --nnodes=2 --nproc-per-node=4'),
        (dict(WORLD_SIZE='1', LOCAL_WORLD_SIZE='1'), 'python'),
        ({}, 'python'),
    ],
)
def test_starts_as_many_ranks(command, environment, launcher):
    expected = f'{launcher} t.py a.py --launcher pytorch'
    assert command('t.py a.py --launcher pytorch', **environment) == expected


def test_starts_them_as_they_were_started(command):
    found = command('t.py a.py --launcher slurm', SLURM_NTASKS='4')
    assert found == 'srun --ntasks=4 python t.py a.py --launcher slurm'
    found = command('t.py a.py --launcher=mpi', OMPI_COMM_WORLD_SIZE='4')
    assert found == 'mpirun -n 4 python t.py a.py --launcher=mpi'


def test_ranks_of_the_command(command, monkeypatch):
    command('t.py', WORLD_SIZE='2', LOCAL_WORLD_SIZE='2')
    arguments = ['a.py', '--launcher', 'pytorch', '--local-rank=1']
    monkeypatch.setattr(module.sys, 'argv', ['mmdet-lcp train', *arguments])
    expected = 'torchrun --nproc-per-node=2 -m mmdet_lcp train a.py --launcher pytorch'
    assert command_line() == expected
