"""Several ranks on the CPU, as torchrun starts them, without its imports and theirs.

That torchrun itself works, tests/runner/test_distributed.py shows.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from processes import Script

ROOT = Path(__file__).parents[1]
# A hook that says on every rank which channels were selected, and the lines that switch it on.
TELL_PLAN = """
import json, os
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class TellPlan(Hook):
    def after_run(self, runner):
        path = Path(__file__).with_name(f'rank{runner.rank}.json')
        weights = {k: float(v.double().sum()) for k, v in runner.job.detector.state_dict().items()}
        images = len(runner.job.images.batches)
        path.write_text(json.dumps([runner.job.plan.to_dict(), weights, images]))
"""
TELL = """
custom_hooks = [dict(type='mmdet_lcp.DropDegenerateBoxesHook'), dict(type='TellPlan')]
custom_imports = dict(imports=['tell_plan'])
"""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def train_on_two_ranks(config: Path, folder: Path, timeout: float = 240) -> str:
    """Run tools/train.py on two ranks, which must end well; what both have printed.

    Args:
        config: may import modules that lie in ``folder``.
        folder: its ``out`` becomes the work_dir.
        timeout: seconds.
    """
    args = [config, '--launcher', 'pytorch', '--work-dir', folder / 'out']
    shared = {
        'WORLD_SIZE': '2',
        'LOCAL_WORLD_SIZE': '2',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(free_port()),
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': os.pathsep.join([str(folder), str(ROOT)]),
    }
    ranks = [
        Script(
            ROOT / 'tools' / 'train.py',
            args,
            folder / f'prints{rank}',
            {**shared, 'RANK': str(rank), 'LOCAL_RANK': str(rank)},
        )
        for rank in range(2)
    ]
    end = time.monotonic() + timeout
    # a rank that has failed leaves the other one waiting for it
    while any(rank.process.is_alive() for rank in ranks) and time.monotonic() < end:
        if any(rank.process.exitcode not in (None, 0) for rank in ranks):
            break
        time.sleep(0.05)
    codes = [rank.process.exitcode for rank in ranks]
    for rank in ranks:
        rank.process.kill()
        rank.process.join()
    prints = ''.join(f'{rank.out}{rank.err}' for rank in ranks)
    assert codes == [0, 0], f'exit status {codes}\n{prints[-8000:]}'
    return prints


def on_two_ranks(facts: Callable[[int], Any], script: str, folder: Path) -> tuple[Any, Any]:
    """`on_ranks` with two of them."""
    return tuple(on_ranks(2, facts, script, folder))


def on_ranks(world: int, facts: Callable[[int], Any], script: str, folder: Path) -> list[Any]:
    """What ``facts(rank)`` gives on each of some ranks of one process group.

    Args:
        world: number of ranks.
        facts: is called here as rank 0.
        script: the test's own file, which the other processes run; what it calls as its main
            program is `be_the_other_rank`, with the same function.
        folder: where they meet.
    """
    meeting = f'file://{folder}/meeting'
    env = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT / 'tests')}
    theirs = [folder / f'rank{rank}.pth' for rank in range(1, world)]
    others = [
        Script(Path(script), [meeting, rank, world, path], folder / f'prints{rank}', env)
        for rank, path in enumerate(theirs, 1)
    ]
    try:
        ours = _in_group(facts, 0, world, meeting)
        for other in others:
            other.check()
    finally:
        for other in others:
            other.process.kill()
    return [ours, *map(torch.load, theirs)]


def be_the_other_rank(facts: Callable[[int], Any]) -> None:
    """A rank of `on_ranks` that is not the first."""
    meeting, rank, world, path = sys.argv[1:]
    torch.save(_in_group(facts, int(rank), int(world), meeting), path)


def _in_group(facts: Callable[[int], Any], rank: int, world: int, meeting: str) -> Any:
    from mmdet_lcp import compat

    torch.distributed.init_process_group(
        'gloo',
        init_method=meeting,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=120),
    )
    try:
        return facts(rank)
    finally:
        compat.close_process_group()
