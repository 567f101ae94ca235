#!/usr/bin/env python
"""Measures what a teacher costs: seconds of a training iteration with it and without, in one run.

A student is trained on the same batches by itself, with its teacher beside it, with the teacher in
half precision, and with the teacher's features kept in memory (which takes a pipeline without
random transforms, so here all of them have one). The four take turns, batch by batch; what is
compared are the medians.

  python benchmarks/mimic_overhead.py
  python benchmarks/mimic_overhead.py configs/mimic/ssd_half_width_bccd_mimic.py --batches 8

Weights are random, which costs what trained ones cost. Images: the blood cells in data/BCCD (or
--data, or $MMDET_LCP_BCCD), else built-in digits, for SSD only. The ratios of one run are what
counts.
"""

import argparse
import copy
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import torch
from common import ROOT, random_detector, use_images
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector
from mmdet_lcp.distillation.config import TeacherConfig, read_mimic_of
from mmdet_lcp.distillation.mimic_inputs import scaled_batch
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.report.tables import text_table

CONFIGS = [
    'configs/mimic/ssd_half_width_bccd_mimic.py',
    'configs/mimic/ssd_quarter_width_bccd_mimic.py',
    'configs/mimic/ssd_half_input_bccd_mimic.py',
    'configs/mimic/faster_rcnn_half_width_bccd_mimic.py',
]
TEACHERS = {
    'teacher': TeacherConfig(),
    'teacher in half precision': TeacherConfig(half=True),
    'features in memory': TeacherConfig(cache='memory'),
}
ALONE = 'without teacher'
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}
SEED = 0


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='*', default=CONFIGS, help='configs with a `mimic` key')
    parser.add_argument('--batches', type=int, default=6, help='default: 6')
    parser.add_argument('--batch-size', type=int, default=8, help='default: 8')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default: 1)')
    parser.add_argument('--clock', choices=CLOCKS, default='cpu', help='default: cpu')
    parser.add_argument('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    return parser.parse_args()


def without_chance(cfg: Config) -> None:
    """Leave only those steps in the training pipeline that show an image always alike."""
    kept = ('LoadImageFromFile', 'LoadAnnotations', 'Resize', 'PackDetInputs')
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [step for step in dataset.pipeline if step['type'] in kept]


class Alone(AttachedDetector):
    """A student without a teacher, on images scaled as they are for one that has a teacher.

    Args:
        detector: the student.
        scale: in (0, 1].
    """

    def __init__(self, detector: nn.Module, scale: float) -> None:
        super().__init__(detector, {})
        self.scale = scale

    def forward(self, inputs: torch.Tensor, data_samples: list | None = None, mode: str = 'loss'):
        """The student's own losses."""
        images, samples = scaled_batch(inputs, data_samples, self.scale)
        return self.detector(images, samples, mode=mode)


class Case:
    """One way of training the student.

    Args:
        model: what trains.
        clock: seconds.
    """

    def __init__(self, model: nn.Module, clock) -> None:
        self.model = model.train()
        self.wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9))
        self.clock = clock
        self.seconds: list[float] = []

    def step(self, data: dict, count: bool) -> None:
        """Train on one batch."""
        data = copy.deepcopy(data)
        torch.manual_seed(SEED)
        began = self.clock()
        self.model.train_step(data, self.wrapper)
        if count:
            self.seconds.append(self.clock() - began)


def cases_of(cfg: Config, size: tuple[int, int], folder: Path, clock) -> dict[str, Case]:
    """The student by itself and in every company."""
    student = random_detector(cfg, SEED)
    teacher_cfg = Config.fromfile(ROOT / cfg.mimic.teacher.config)
    for key in ('bbox_head', 'roi_head'):  # as many classes as the student
        if key in cfg.model:
            head = cfg.model[key].get('bbox_head', cfg.model[key])
            own = teacher_cfg.model[key]
            own.get('bbox_head', own).num_classes = head.num_classes
    teacher = random_detector(teacher_cfg, SEED)
    mimic = read_mimic_of(cfg)
    cases = {ALONE: Case(Alone(copy.deepcopy(student), mimic.image_scale), clock)}
    for name, config in TEACHERS.items():
        setup = MimicSetup(
            dataclasses.replace(mimic, teacher=config), 'mimic', cfg, folder, teacher
        )
        model = setup.attach(copy.deepcopy(student), size, SEED)
        cases[name] = Case(model, clock)
    return cases


def measure(path: str, args: argparse.Namespace, folder: Path) -> list[list[str]]:
    """The rows of one config."""
    cfg = Config.fromfile(path)
    images = args.batches * args.batch_size
    use_images(cfg, args.data, folder, dict(train=images, val=1, test=1))
    without_chance(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batches = [
        pseudo_collate([dataset[i] for i in range(at, min(at + args.batch_size, len(dataset)))])
        for at in range(0, len(dataset), args.batch_size)
    ]
    cases = cases_of(cfg, tuple(cfg.scale)[::-1], folder, CLOCKS[args.clock])
    for counted in (False, True):  # the first round warms up, and fills the memory
        for batch in batches:
            for case in cases.values():
                case.step(batch, counted)
    medians = {name: statistics.median(case.seconds) for name, case in cases.items()}
    return [
        [Path(path).stem, name, f'{seconds:.3f}', f'{seconds / medians[ALONE]:.2f}']
        for name, seconds in medians.items()
    ]


def main() -> None:
    """Measure every config."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    register_all_modules()
    rows = []
    for path in args.configs:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(path, args, Path(folder))
        for row in found:
            print(' '.join(row), flush=True)
        rows += found
    title = f'{args.threads} thread(s), {args.clock} seconds an iteration of {args.batch_size}'
    print(text_table(['student', 'training', 'seconds', 'ratio'], rows, title=title, words=2))


if __name__ == '__main__':
    main()
