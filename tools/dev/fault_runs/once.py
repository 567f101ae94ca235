"""What happens once: a full disk, a dead data worker, a bad batch or image, another checkpoint.

Each is done to a short pruning run; then it is undone, and the run goes on with --resume.
"""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tiny
import torch

from fault_runs.kinds import FINETUNING, PRUNED, STATEFUL, TOOLS, Kind
from fault_runs.processes_of import Ended, Runs, half_written, same

WORKERS = 'train_dataloader.update(num_workers=1)\n'
FULL_DISK = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
runpy.run_path({tool!r}, run_name='__main__')
"""
BAD_BATCH = """
custom_imports = dict(imports=['bad_batch'])
custom_hooks.append(dict(type='BadBatch'))
"""
BAD_BATCH_MODULE = """
import os
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class BadBatch(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if os.environ.get('BAD_BATCH') and runner.iter == 10:
            images = data_batch['inputs']
            images[0] = torch.full(images[0].shape, float('nan'))
"""


@dataclass
class Fault:
    """Something that has gone wrong once.

    Attributes:
        name: what it was.
        code: exit code of the run.
        said: its last line of stderr.
        left: files that cannot be read.
        resumed: exit code of the process that went on when it was mended.
        same: whether that came to the plan and weights of a run that nobody disturbs.
    """

    name: str
    code: int
    said: str
    left: list[str]
    resumed: int
    same: bool


def faults(folder: Path, tell: Callable[[str], None]) -> Iterator[Fault]:
    """Do each of them.

    Args:
        folder: holds the data.
        tell: takes a line for each.
    """
    (folder / 'bad_batch.py').write_text(BAD_BATCH_MODULE)
    kind = Kind(
        'faults',
        lambda there: tiny.make_config(
            there, there / 'digits', 'faults', FINETUNING + STATEFUL + WORKERS + BAD_BATCH
        ),
        PRUNED,
    )
    sys.path.append(str(folder))  # the config imports it here too
    os.environ['PYTHONPATH'] = f'{os.environ.get("PYTHONPATH", "")}{os.pathsep}{folder}'
    runs = Runs(kind, folder)
    whole = runs.to_the_end('whole')
    assert whole.code == 0, whole.said
    expected = runs.results('whole')
    state = max(p.stat().st_size for p in runs.out('whole').rglob('pruning_state/*.pth'))
    for name, act in (
        ('the disk is full while the state is written', lambda n: _full_disk(runs, n, state - 1)),
        ('a data worker is killed', lambda n: _dead_worker(runs, n)),
        ('a batch of nan', lambda n: runs.to_the_end(n, env={'BAD_BATCH': '1'})),
        ('a truncated image', lambda n: _cut_image(runs, n)),
        ('another checkpoint meanwhile', lambda n: _replaced(runs, n, whole.seconds / 2)),
        ('two runs in one work_dir', lambda n: _two(runs, n)),
    ):
        where = re.sub(r'\W+', '_', name)
        ended = act(where)
        left = half_written(runs.out(where)) if runs.out(where).exists() else []
        resumed = runs.to_the_end(where)
        found = runs.results(where) if resumed.code == 0 else {}
        alike = all(same(expected, found, plans) for plans in (True, False))
        fault = Fault(name, ended.code, _last(ended.said), left, resumed.code, alike)
        tell(f'  {fault}')
        yield fault
        shutil.rmtree(runs.out(where))


def _full_disk(runs: Runs, name: str, size: int) -> Ended:
    tool = runs.folder / 'full_disk.py'
    tool.write_text(FULL_DISK.format(size=size, tool=str(TOOLS / 'train.py')))
    return runs.to_the_end(name, tool=tool)


def _dead_worker(runs: Runs, name: str) -> Ended:
    script = runs.start(name)
    while script.process.is_alive():
        children = Path(f'/proc/{script.process.pid}/task/{script.process.pid}/children')
        text = children.read_text() if children.exists() else ''
        if text.split() and (runs.out(name) / 'pruning_state' / 'stage.pth').exists():
            os.kill(int(text.split()[0]), signal.SIGKILL)
            break
        time.sleep(0.002)
    return Ended(script.wait(), 0.0, script.err, runs.last_line(name))


def _cut_image(runs: Runs, name: str) -> Ended:
    image = sorted((runs.folder / 'digits' / 'images' / 'train').iterdir())[-1]
    with _content(image, image.read_bytes()[: image.stat().st_size // 2]):
        return runs.to_the_end(name)


def _replaced(runs: Runs, name: str, seconds: float) -> Ended:
    runs.killed(name, seconds, signal.SIGKILL)
    dense = runs.folder / 'dense.pth'
    given = torch.load(dense, weights_only=True)
    other = {key: value + 1 for key, value in given['state_dict'].items()}
    whole = dense.read_bytes()
    try:
        torch.save({'meta': {}, 'state_dict': other}, dense)
        return runs.to_the_end(name)
    finally:
        dense.write_bytes(whole)


def _two(runs: Runs, name: str) -> Ended:
    first = runs.start(name)
    while not (runs.out(name) / 'pruning_state' / 'stage.pth').exists():
        assert first.process.is_alive(), first.err
        time.sleep(0.01)
    second = runs.start(name)
    ended = Ended(second.wait(), 0.0, second.err, '')
    assert first.wait() == 0, first.err
    return ended


@contextmanager
def _content(path: Path, content: bytes) -> Iterator[None]:
    """Give a file another content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    told = [line for line in lines if line.startswith('error: ')]
    return (told or lines or [''])[-1]
