"""What a file is worth: mAP by mmdet's own test loop, and the time from an image to its boxes.

The file takes the detector's place and is run by the runtime package, which reads the photos
itself, as it does on the device.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.graph import samples
from mmdet_lcp.measure.metrics import main_metric
from mmdet_lcp.modes import in_eval
from mmdet_lcp_runtime import Detections, Detector

UNUSED = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'runner_type',
          'load_from', 'resume', 'custom_hooks', 'auto_scale_lr', 'visualizer')  # fmt: skip
LOOP = ('dataloader', 'cfg', 'evaluator')
ROUNDS = 9


class FileDetector(nn.Module):
    """An exported file that mmdet's test loop can run.

    Args:
        path: see `mmdet_lcp_runtime.Detector`; end-to-end or decoded.
        threads: of the CPU; as many as PyTorch has unless given.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = None) -> None:
        super().__init__()
        self.detector = Detector(path, threads=threads or torch.get_num_threads())

    def test_step(self, data: dict[str, Any]) -> list[DetDataSample]:
        """Detect in the photos that the samples name.

        Raises:
            CompressionError: they do not name them.
        """
        found = data['data_samples']
        if not all('img_path' in sample for sample in found):
            raise CompressionError(
                'the test pipeline does not say which file an image is: add img_path to the '
                'meta_keys of its PackDetInputs'
            )
        for sample, seen in zip(found, self.detector([s.img_path for s in found]), strict=True):
            sample.pred_instances = instances(seen)
        return found


def instances(found: Detections) -> InstanceData:
    """Detections as mmdet has them."""
    more = {} if found.masks is None else {'masks': torch.from_numpy(found.masks)}
    return InstanceData(
        bboxes=torch.from_numpy(found.boxes),
        scores=torch.from_numpy(found.scores),
        labels=torch.from_numpy(found.labels),
        **more,
    )


class TestSet:
    """Gives metrics of detectors or files, mAP among them, by mmdet's test loop.

    Args:
        cfg: a detector's whole config.
        split: 'test' or 'val'.

    Raises:
        CompressionError: the config has no such data, or they cannot be read.
    """

    def __init__(self, cfg: Config, split: str = 'test') -> None:
        if not cfg.get(f'{split}_dataloader') or not cfg.get(f'{split}_evaluator'):
            raise CompressionError(
                f'the config has no {split}_dataloader and {split}_evaluator: there is nothing '
                'to measure on'
            )
        plain: dict[str, Any] = cfg.to_dict()
        loop = {f'test_{part}': plain.get(f'{split}_{part}') for part in LOOP}
        loop['test_cfg'] = dict(type='TestLoop') if split == 'val' else loop['test_cfg']
        for key in (*UNUSED, *(f'val_{part}' for part in LOOP)):
            plain.pop(key, None)
        self._folder = tempfile.TemporaryDirectory()
        # names of their own, because mmengine keeps loggers and visualizers by name
        name = Path(self._folder.name).name
        plain.update(loop, work_dir=self._folder.name, experiment_name=name, log_level='WARNING')
        with readable(f'{split}_dataloader'):
            self._runner = Runner.from_cfg(Config(plain))
            self._loop = self._runner.test_loop  # it reads the annotations
        self._runner.call_hook('before_run')

    def metrics(self, detector: nn.Module) -> dict[str, float]:
        """Of a detector, or of a `FileDetector`."""
        self._runner.model = detector
        found = self._loop.run()
        return {key: float(value) for key, value in found.items()}


def validation_metric(cfg: Config) -> Callable[[Path], float] | None:
    """The main metric of a file on the validation set; None without one."""
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        return None
    data = TestSet(cfg, 'val')

    def measure(path: Path) -> float:
        found = data.metrics(FileDetector(path))
        return found[main_metric(found)]

    return measure


def latencies_ms(
    detector: nn.Module, files: Sequence[Path], image: np.ndarray, rounds: int = ROUNDS
) -> list[float]:
    """Milliseconds from an image in memory to its boxes, the median; all run in turn.

    Args:
        detector: comes first.
        files: the others.
        image: (H, W, C) uint8, blue first, of the files' size.
        rounds: so many runs of each, after one that does not count.
    """
    size = image.shape[:2]
    tensor = torch.from_numpy(image).permute(2, 0, 1)

    def by_mmdet() -> None:
        detector.test_step({'inputs': [tensor], 'data_samples': samples(1, size)})

    threads = torch.get_num_threads()
    runs: list[Callable] = [by_mmdet]
    runs += [partial(Detector(path, threads=threads), image) for path in files]
    times: list[list[float]] = [[] for _ in runs]
    with in_eval(detector), torch.no_grad():
        for number in range(rounds + 1):
            for run, own in zip(runs, times, strict=True):
                begin = time.perf_counter()
                run()
                if number:
                    own.append(1e3 * (time.perf_counter() - begin))
    return [statistics.median(own) for own in times]
