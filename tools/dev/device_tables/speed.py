"""From image files to boxes: milliseconds, memory, sizes; all in turn, the least counts."""

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device_tables.kept import folder_of, keep, photos_of
from mmdet_lcp.plain_weights import read_weights

WORKER = Path(__file__).with_name('worker.py')
TIMED_PHOTOS = 5


class Worker:
    """A process that detects on command."""

    def __init__(self, words: Sequence[str], threads: int, photos: Sequence[str]) -> None:
        kind = 'file' if len(words) == 1 else 'mmdet'
        env = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'OMP_WAIT_POLICY': 'passive'}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), kind, *words, str(threads), *photos],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip

    def ask(self, word: str) -> Any:
        """Its answer to a line."""
        self.process.stdin.write(f'{word}\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def timed(kinds: dict[str, Sequence[str]], photos: list[str], rounds: int) -> dict[str, dict]:
    """Milliseconds of a photo, the least of `rounds`, with one and two threads; peak memory.

    Args:
        kinds: words for a `Worker`, by name.
        photos: files.
        rounds: all run one after the other in each.
    """
    found: dict[str, dict] = {name: {} for name in kinds}
    for threads in (1, 2):
        workers = {name: Worker(words, threads, photos) for name, words in kinds.items()}
        seconds: dict[str, list] = {name: [] for name in kinds}
        for number in range(rounds + 1):
            for name, worker in workers.items():
                told = worker.ask('run')
                if number:
                    seconds[name].append(told)
        for name, worker in workers.items():
            best = 1e3 * np.array(seconds[name]).min(0).mean(0)
            found[name][str(threads)] = {'cpu_ms': best[0], 'clock_ms': best[1]}
            found[name]['peak_mb'] = worker.ask('end')
            worker.process.wait()
    return found


def speed(args: argparse.Namespace) -> None:
    """Fill the second table; `agree` has to have written the files."""
    trained = {name: (config, weights) for name, config, weights in args.trained}
    kinds: dict[str, Sequence[str]] = {}
    sizes: dict[str, int] = {}
    for name, (config, weights) in trained.items():
        folder = folder_of(args.work, name, 'onnxruntime')
        kinds[f'{name}, PyTorch'] = (config, weights)
        for what, file in (('ONNX Runtime', 'x.onnx'), ('ONNX Runtime, int8', 'x.int8.onnx')):
            kinds[f'{name}, {what}'] = (str(folder / file),)
            sizes[f'{name}, {what}'] = (folder / file).stat().st_size
        sizes[f'{name}, PyTorch'] = weight_bytes(weights)
    found = timed(kinds, photos_of(TIMED_PHOTOS), args.rounds)
    for name, size in sizes.items():
        found[name]['bytes'] = size
    about = {'date': str(datetime.date.today()), 'rounds': args.rounds}
    keep(args.work, 'speed', {**about, 'rows': found})
    print(json.dumps(found, indent=1))


def weight_bytes(weights: str) -> int:
    """Of a checkpoint, the weights alone."""
    values = read_weights(weights)[0].values()
    return sum(value.numel() * value.element_size() for value in values)
