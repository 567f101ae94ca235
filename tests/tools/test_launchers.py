"""tools/dist_train.sh and slurm_train.sh: what they start, in words; nothing is run."""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def started(tmp_path):
    """Start a script with a `python` and an `srun` that print their arguments, one a line."""
    for name in ('python', 'srun'):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name}\nfor word in "$@"; do echo "$word"; done\n')
        program.chmod(0o755)

    def run(script: str, *args: str, **env: str) -> subprocess.CompletedProcess:
        path = f'{tmp_path}:{os.environ["PATH"]}'
        return subprocess.run(
            [TOOLS / script, *args],
            capture_output=True,
            text=True,
            env={'PATH': path, **env},
        )

    return run


def test_one_machine(started):
    words = started('dist_train.sh', 'a b.py', '4', '--cfg-options', 'x=[1, 2]').stdout.split('\n')
    assert words[:3] == ['python', '-m', 'torch.distributed.run']
    assert {'--nnodes=1', '--node-rank=0', '--nproc-per-node=4'} <= set(words)
    assert words[-7:-1] == [
        *(f'{TOOLS}/train.py', 'a b.py', '--launcher', 'pytorch', '--cfg-options', 'x=[1, 2]'),
    ]


def test_several_machines(started):
    env = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234')
    words = set(started('dist_train.sh', 'a.py', '8', **env).stdout.split())
    assert {'--nnodes=2', '--node-rank=1', '--master-port=1234'} < words
    assert '--master-addr=10.0.0.1' in words


def test_slurm(started):
    env = dict(GPUS='4', SRUN_ARGS='--quotatype=spot --exclusive')
    words = started('slurm_train.sh', 'gpu', 'lcp', 'a.py', 'out', '--resume', **env).stdout
    words = words.split('\n')
    assert words[:4] == ['srun', '-p', 'gpu', '--job-name=lcp']
    # no more GPUs of a node are asked for than there are processes
    assert {'--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4', '--exclusive'} < set(words)
    assert words[-10:-1] == [
        *('python', '-u', f'{TOOLS}/train.py', 'a.py', '--work-dir', 'out'),
        *('--launcher', 'slurm', '--resume'),
    ]


@pytest.mark.parametrize(('script', 'args'), [('dist_train.sh', 1), ('slurm_train.sh', 3)])
def test_too_few_words(started, script, args):
    done = started(script, *['x'] * args)
    assert done.returncode == 2 and done.stderr.startswith('usage: ') and not done.stdout
