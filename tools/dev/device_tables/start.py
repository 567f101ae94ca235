"""From the start of Python to the first box: a file alone, and mmdet's `init_detector`."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from device_tables.kept import folder_of, keep, photos_of

STARTS = 5
FIRST_BOX = {
    'mmdet': 'import mmdet_lcp\nfrom mmdet.apis import inference_detector, init_detector\n'
    "model = init_detector({config!r}, {weights!r}, device='cpu')\n"
    'assert len(inference_detector(model, {photo!r}).pred_instances)',
    'runtime': 'from mmdet_lcp_runtime import Detector\nassert len(Detector({file!r})({photo!r}))',
}


def started(python: str, code: str, alone: bool) -> tuple[float, float]:
    """(process, clock) seconds from the start of an interpreter to the end of some code."""
    env = {key: value for key, value in os.environ.items() if not alone or key != 'PYTHONPATH'}
    env['OMP_WAIT_POLICY'] = 'passive'
    begin = time.perf_counter()
    child = subprocess.Popen([python, '-c', code], env=env, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    clock = time.perf_counter() - begin
    child.returncode = status
    if status:
        sys.exit(f'error: this ended with {status}:\n{code}')
    return used.ru_utime + used.ru_stime, clock


def start(args: argparse.Namespace) -> None:
    """Time processes to their first box; `agree` has to have written the files."""
    (name, config, weights) = args.trained[-1]
    folder = folder_of(args.work, name, 'onnxruntime')
    names = {
        'config': config, 'weights': weights, 'photo': str(Path(photos_of(1)[0]).resolve()),
        'file': str((folder / 'x.onnx').resolve()),
    }  # fmt: skip
    seconds: dict[str, list] = {key: [] for key in FIRST_BOX}
    for _ in range(STARTS):
        for key, code in FIRST_BOX.items():
            python = args.alone if key == 'runtime' else sys.executable
            seconds[key].append(started(python, code.format(**names), key == 'runtime'))
    found: dict[str, Any] = {
        key: dict(zip(('cpu_s', 'clock_s'), np.array(own).min(0).tolist(), strict=True))
        for key, own in seconds.items()
    }
    keep(args.work, 'start', {'detector': name, 'runs': STARTS, **found})
    print(json.dumps(found))
