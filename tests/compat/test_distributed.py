"""Several processes on a CPU."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from mmdet_lcp import compat

from .helpers import ROOT

DISTRIBUTED = """
    import atexit, os, sys, torch
    from pathlib import Path
    from torch import nn
    from mmengine.dist import all_reduce, get_rank

    def tell():  # registered before the group is made, so it runs after all that comes with it
        if not torch.distributed.is_initialized():
            Path(sys.argv[1], 'closed' + os.environ['RANK']).touch()

    atexit.register(tell)
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from mmdet_lcp import compat
    compat.apply()
    assert compat.init_cpu_process_group(timeout_s=120)
    assert not compat.init_cpu_process_group()

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)
        def forward(self, inputs, mode):
            return dict(loss=((self.layer(torch.stack(inputs)) - 2) ** 2).mean())

    data = [dict(inputs=torch.tensor([float(i)])) for i in range(8)]
    runner = Runner(
        model=Line(), work_dir=sys.argv[1], launcher='pytorch', log_level='ERROR',
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=data,
                              sampler=dict(type='DefaultSampler', shuffle=True),
                              collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)))
    runner.train()
    assert type(runner.model).__name__ == 'MMDistributedDataParallel'
    assert runner.iter == 2, 'each of two processes sees half of the data'
    weight = runner.model.module.layer.weight.detach().clone()
    total = weight.clone()
    all_reduce(total, 'sum')
    assert torch.allclose(total, 2 * weight), 'both processes hold the same weights'
    Path(sys.argv[1], f'done{get_rank()}').touch()  # two ranks' prints may run together
"""


def run_two_processes(folder: Path, code: str) -> None:
    """Run code by torchrun, with the folder as its argument."""
    script = folder / 'script.py'
    script.write_text(textwrap.dedent(code))
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    command += ['--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0', str(script), str(folder)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without CUDA')
def test_two_processes_train_on_cpu(tmp_path):
    run_two_processes(tmp_path, DISTRIBUTED)
    assert sorted(path.name for path in tmp_path.glob('done*')) == ['done0', 'done1']
    assert len(list(tmp_path.glob('closed*'))) == 2, 'the group is closed before the process ends'


# One process holds the lock while gloo's thread wants it, up to the process's end.
LOCKED = """
    import sys, torch
    import torch.distributed as dist
    from mmdet_lcp import compat

    assert compat.init_cpu_process_group(timeout_s=120)
    numbers = torch.ones(100)
    sys.setswitchinterval(1000)
    for _ in range(30):
        dist.all_reduce(numbers)
    sum(range(10**6))
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without CUDA')
def test_a_process_ends_though_gloo_wants_the_lock(tmp_path):
    run_two_processes(tmp_path, LOCKED)


def test_no_process_group_outside_a_launcher(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert compat.init_cpu_process_group() is False
    assert not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match='timeout_s'):
        compat.init_cpu_process_group(timeout_s=0)
