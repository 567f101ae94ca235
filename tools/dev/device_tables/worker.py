"""Detects in photos on command, for `speed.py`: one process a detector, told by lines.

  python tools/dev/device_tables/worker.py file detector.onnx 2 PHOTO...
  python tools/dev/device_tables/worker.py mmdet config.py weights.pth 2 PHOTO...

Each line `run` on standard input is answered by the seconds that each photo took, those of the
process on its cores and those on the clock; `end` by the peak of its memory. Of a file nothing but
the runtime package is imported.
"""

import json
import os
import sys
import time
from collections.abc import Callable


def by_file(path: str, threads: int) -> Callable:
    """An exported file, run by the runtime package."""
    from mmdet_lcp_runtime import Detector

    return Detector(path, threads=threads)


def by_mmdet(config: str, weights: str, threads: int) -> Callable:
    """The functions of mmdet itself."""
    import torch

    torch.set_num_threads(threads)
    from mmdet.apis import inference_detector, init_detector

    import mmdet_lcp  # noqa: F401

    model = init_detector(config, weights, device='cpu')
    return lambda photo: inference_detector(model, photo)


def peak_mb() -> float:
    """The most memory that this process had, without what its parent had before it."""
    with open('/proc/self/status') as file:
        line = next(line for line in file if line.startswith('VmHWM:'))
    return int(line.split()[1]) / 1000


def timed(detect: Callable, photos: list[str]) -> list[tuple[float, float]]:
    """(process, clock) seconds of each photo."""
    found = []
    for photo in photos:
        process, clock = time.process_time(), time.perf_counter()
        detect(photo)
        found.append((time.process_time() - process, time.perf_counter() - clock))
    return found


def main() -> None:
    """Answer lines until `end`."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # libraries print
    kind, *words = sys.argv[1:]
    count = 1 if kind == 'file' else 2
    named, threads, photos = words[:count], int(words[count]), words[count + 1 :]
    detect = (by_file if kind == 'file' else by_mmdet)(*named, threads)
    for line in sys.stdin:
        told = timed(detect, photos) if line.strip() == 'run' else peak_mb()
        print(json.dumps(told), file=answers, flush=True)
        if line.strip() == 'end':
            return


if __name__ == '__main__':
    main()
