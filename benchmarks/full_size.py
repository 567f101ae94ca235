#!/usr/bin/env python
"""Takes SSD300 at full size through every stage of a pruning run, with two iterations each.

It shows that structure, memory and outputs are right where the detector is as large as in
earnest: 13 groups of VGG-16, 27 of ResNet-50. Weights are random, so mAP means nothing here. For
each stage it prints seconds and peak memory; at the end the pruned detector is read back from
`pruned_config.py` and `pruned.pth` as any user of it would, and its outputs are compared with
those of the run.

  python benchmarks/full_size.py --model vgg16
  python benchmarks/full_size.py --model r50 --batch-size 2 --out r50.csv

Images: the blood cells in data/BCCD (or --data, or $MMDET_LCP_BCCD), else built-in digits. On one
core VGG-16 takes about four minutes and ResNet-50 six; a GPU is used if there is one.
"""

import argparse
import contextlib
import csv
import io
import resource
import tempfile
import time
from pathlib import Path

import torch
from common import ROOT, random_detector, use_images
from mmdet.apis import init_detector
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor

from mmdet_lcp.files import write_text
from mmdet_lcp.pruning.runner import PruningRunner
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.tables import format_count, text_table

ITERATIONS = 2
TOLERANCE = 1e-5  # relative, between the run's detector and the one read back


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', choices=['vgg16', 'r50'], required=True, help='the backbone')
    parser.add_argument('--batch-size', type=int, default=2, help='images a batch (default 2)')
    parser.add_argument('--threads', type=int, help="threads of torch (default: torch's own)")
    parser.add_argument('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    parser.add_argument('--work-dir', type=Path, help="keep the run's files here")
    parser.add_argument('--out', type=Path, help='CSV file to write, one line a stage')
    return parser.parse_args()


class Meter:
    """Time, and the most memory held, since `begin`: the process's, or the GPU's with one."""

    def __init__(self) -> None:
        self.since = time.perf_counter()

    def begin(self) -> None:
        """Begin anew; where the system cannot, the peak is that of the whole process."""
        self.since = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')

    def seconds(self) -> float:
        """Since `begin`."""
        return time.perf_counter() - self.since

    def gigabytes(self) -> float:
        """The peak in GB (2**30 bytes)."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / 2**30
        with contextlib.suppress(OSError):
            for line in Path('/proc/self/status').read_text().splitlines():
                if line.startswith('VmHWM:'):
                    return int(line.split()[1]) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@RUNNERS.register_module()
class MeasuredRunner(PruningRunner):
    """The runner, with seconds and peak memory of each of its steps in ``measured``."""

    def __init__(self, **kwargs):
        """As `PruningRunner`'s."""
        self.meter = Meter()
        self.measured: list[tuple[str, float, float]] = []
        super().__init__(**kwargs)

    def train(self):
        """Prune, and measure what is left over as the last step."""
        self.meter.begin()
        detector = super().train()
        self._step_ends('retrain, measure, hand out')
        return detector

    def prepare(self) -> None:
        """As `PruningRunner`'s, measured."""
        super().prepare()
        self._step_ends('load, trace, measure dense')

    def run_stage(self, number: int) -> None:
        """As `PruningRunner`'s, measured."""
        super().run_stage(number)
        self._step_ends(self.job.stages[number].group.name)

    def _step_ends(self, step: str) -> None:
        self.measured.append((step, self.meter.seconds(), self.meter.gigabytes()))
        self.meter.begin()


def make_config(args: argparse.Namespace, folder: Path) -> tuple[Config, str]:
    """The pruning config with short training, few images and a random dense checkpoint."""
    cfg = Config.fromfile(ROOT / 'configs' / 'lcp' / f'ssd300_{args.model}_prune_bccd.py')
    few = dict(train=ITERATIONS * args.batch_size, val=2, test=2)
    images = use_images(cfg, args.data, folder, few)
    cfg.train_dataloader.batch_size = args.batch_size
    short = dict(max_epochs=None, max_iters=ITERATIONS, lr=1e-6, param_scheduler=None)
    cfg.pruning.finetune.update(short)
    cfg.pruning.retrain.update(short)
    cfg.pruning.selection = dict(num_images=2)
    cfg.pruning['update']['steps'] = ITERATIONS
    cfg.pruning.evaluate = ()
    cfg.runner_type = 'mmdet_lcp.MeasuredRunner'
    cfg.randomness = dict(seed=0)
    cfg.work_dir = str(args.work_dir or folder / 'run')
    cfg.load_from = str(folder / 'dense.pth')
    torch.save({'state_dict': random_detector(cfg, 0).state_dict()}, cfg.load_from)
    return cfg, images


def outputs(detector: torch.nn.Module, size: tuple[int, int]) -> list[Tensor]:
    """Class scores and boxes of one noise image, level by level."""
    device = next(detector.parameters()).device
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    detector.eval()
    with torch.no_grad():
        scores, boxes = detector(image, mode='tensor')
    return [*scores, *boxes]


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference of two outputs, relative to the first's largest value."""
    return max(
        float((a - b).abs().max() / a.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


def main() -> None:
    """Run and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    register_all_modules()
    with tempfile.TemporaryDirectory() as temporary:
        cfg, images = make_config(args, Path(temporary))
        runner = RUNNERS.build(cfg)
        detector = runner.train()
        work_dir = Path(cfg.work_dir)
        report = read_report(work_dir / 'report.json')
        again = init_detector(
            str(work_dir / 'pruned_config.py'),
            str(work_dir / 'pruned.pth'),
            device=str(next(detector.parameters()).device),
        )
        size = runner.job.image_size
        difference = largest_difference(outputs(runner.job.detector, size), outputs(again, size))

    selection = {facts.name: facts for facts in report.groups}
    rows = []
    for step, seconds, peak in runner.measured:
        facts = selection.get(step)
        rows.append(
            dict(
                step=step,
                channels=f'{facts.total} -> {facts.kept}' if facts else '',
                seconds=round(seconds, 2),
                selection_seconds=round(facts.criterion_seconds, 2) if facts else '',
                peak_gb=round(peak, 2),
            )
        )
    print(
        f'\nSSD300, {args.model}, {images}, {args.batch_size} a batch, {ITERATIONS} iterations a '
        f'stage, {torch.get_num_threads()} threads, {next(again.parameters()).device}'
    )
    print(
        text_table(
            ['step', 'channels', 'seconds', 'of it selection', 'peak memory [GB]'],
            [list(row.values()) for row in rows],
        )
    )
    dense, compressed = report.dense, report.compressed
    print(
        f'{len(report.groups)} groups in {sum(row["seconds"] for row in rows):.0f} s, at most '
        f'{max(row["peak_gb"] for row in rows):.2f} GB\n'
        f'parameters {format_count(dense.params)} -> {format_count(compressed.params)}, '
        f'MACs {format_count(dense.macs)} -> {format_count(compressed.macs)}\n'
        f'read back with init_detector: outputs differ by {difference:.1e} at most'
    )
    if args.out:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
        write_text(args.out, text.getvalue())
        print(f'written: {args.out}')
    if not difference <= TOLERANCE:
        raise SystemExit(f'error: the detector read back differs by {difference:.1e}')


if __name__ == '__main__':
    main()
