#!/usr/bin/env python
"""Measures what each method's selection costs, beside Torch-Pruning's Taylor on the same detector.

For each method the whole detector is swept once, group by group, on the same images: feature
maps, scores, choice and the update of the next kernels, without any training (auxiliary networks
have random weights, which cost what trained ones cost). The reference is Torch-Pruning's own
GroupTaylorImportance: the gradient of the detector's loss over the same images, then its scores of
all groups; its tracing of the graph is left out, as is ours.

  python benchmarks/criteria_cost.py
  python benchmarks/criteria_cost.py --methods lcp_exact taylor --num-images 64 --clock cpu

Images: the blood cells in data/BCCD (or --data, or $MMDET_LCP_BCCD), else built-in digits. The
ratios of one run are what counts.
"""

import argparse
import copy
import tempfile
import time
from pathlib import Path

import torch
import torch_pruning as tp
from common import ROOT, random_detector, use_images
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.graph.surgery import needs_fresh_inputs
from mmdet_lcp.modes import in_eval
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.report.tables import text_table
from mmdet_lcp.selection.images import detection_loss

CONFIG = ROOT / 'configs' / 'lcp' / 'compare_bccd.py'
FRAGMENTS = ROOT / 'configs' / '_base_' / 'pruning'
METHODS = [
    'random',
    'l1_norm',
    'l2_norm',
    'bn_scale',
    'fpgm',
    'taylor',
    'group_fisher',
    'thinet',
    'lcp',
    'dcp',
    'lcp_exact',
]
SEED = 0
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--methods', nargs='+', default=METHODS, metavar='NAME')
    parser.add_argument('--num-images', type=int, default=32, help='default: 32')
    parser.add_argument('--ratio', type=float, default=0.5, help='default: 0.5')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default: 1)')
    parser.add_argument('--clock', choices=CLOCKS, default='cpu', help='default: cpu')
    parser.add_argument('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    return parser.parse_args()


def config_of(method: str, args: argparse.Namespace, folder: Path, path: Path = CONFIG) -> Config:
    """The comparison's config, or another one, with one method in it."""
    cfg = Config.fromfile(path)
    fragment = Config.fromfile(FRAGMENTS / f'{method}.py').pruning
    for key in ('criterion', 'update', 'attachment', 'objective'):
        cfg.pruning[key] = fragment.get(key)
        if cfg.pruning[key] is None:
            del cfg.pruning[key]
    cfg.pruning.ratio = args.ratio
    cfg.pruning.selection.num_images = args.num_images
    use_images(cfg, args.data, folder, dict(train=args.num_images, val=1, test=1))
    return cfg


class Ground:
    """One detector and one set of images for all methods.

    Args:
        cfg: a pruning config whose data loaders work.
    """

    def __init__(self, cfg: Config) -> None:
        self.size = tuple(cfg.scale)[::-1]
        self.dense = random_detector(cfg, SEED).eval().requires_grad_(False)
        self.groups = find_groups(self.dense, self.size)
        self.norms = following_norms(self.dense, self.size)
        self.dataset = DATASETS.build(cfg.train_dataloader.dataset)

    def sweep(self, cfg: Config, clock) -> float:
        """Seconds that one method's selection takes, all groups together."""
        pruning = PruningConfig.from_cfg(cfg)
        detector = copy.deepcopy(self.dense).requires_grad_(True)
        stages, _ = choose_stages(detector, self.groups, pruning)
        totals = axis_sizes(detector, [stage.group for stage in stages])
        attachment = pruning.attachment
        sampler = None if attachment is None else attachment.sampler(self.dense)
        began = clock()
        images = SelectionSet.draw(
            self.dataset, self.dense, pruning.selection, 8, SEED, sampler, self.norms
        )
        images.expect([m.path for s in stages for m in s.group.consumers], self.dense)
        rounds = [0] * len(stages) if attachment is None else attachment.rounds(stages)
        plan, attached = Plan(), None
        for number, stage in enumerate(stages):
            if rounds[number]:
                attached = attachment.attach(detector, stages, number)
            problem = images.problem(
                stage.group,
                self.dense,
                detector,
                plan,
                pruning.objective,
                seed=SEED,
                attached=[] if attached is None else attached.for_selection(),
                needs_metrics=pruning.criterion.needs_metrics,
            )
            selection = pruning.criterion.select(problem, stage.keep)
            if selection.kernels is not None:
                problem.write(selection.kernels)
            gone = sorted(set(range(stage.group.channels)) - set(selection.keep))
            following = plan.remove(stage.group, gone, totals)
            mask_plan(detector, following, done=plan)
            if needs_fresh_inputs(detector, stage.group):
                problem.inputs_changed()
            pruning.update.apply(problem, selection.keep)
            apply_plan(detector, following, done=plan)
            plan = following
        return clock() - began

    def torch_pruning_taylor(self, cfg: Config, clock) -> float:
        """Seconds of Torch-Pruning's Taylor importance of all its groups."""
        detector = copy.deepcopy(self.dense).requires_grad_(True)
        example = torch.zeros(1, 3, *self.size)
        graph = tp.DependencyGraph().build_dependency(
            detector, example, forward_fn=lambda model, x: model(x, mode='tensor'), verbose=False
        )
        pruning = PruningConfig.from_cfg(cfg)
        began = clock()
        images = SelectionSet.draw(self.dataset, self.dense, pruning.selection, 8, SEED, None)
        with in_eval(detector):
            for batch in images.batches:
                detection_loss(detector, batch).backward()
        importance = tp.importance.GroupTaylorImportance()
        for group in graph.get_all_groups(root_module_types=[nn.Conv2d]):
            importance(group)
        return clock() - began


def main() -> None:
    """Time every method once."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    register_all_modules()
    clock = CLOCKS[args.clock]
    with tempfile.TemporaryDirectory() as folder:
        configs = {name: config_of(name, args, Path(folder) / name) for name in args.methods}
        first = configs[args.methods[0]]
        ground = Ground(first)
        ground.sweep(first, clock)  # warm up
        reference = ground.torch_pruning_taylor(first, clock)
        rows = [['Torch-Pruning Taylor', f'{reference:.2f}', '1.0']]
        for name, cfg in configs.items():
            seconds = ground.sweep(cfg, clock)
            print(f'{name}: {seconds:.2f} s', flush=True)
            rows.append([name, f'{seconds:.2f}', f'{seconds / reference:.1f}'])
    title = f'{args.num_images} images, {args.threads} thread(s), {args.clock} seconds'
    print(text_table(['method', 'seconds', 'over Torch-Pruning Taylor'], rows, title=title))


if __name__ == '__main__':
    main()
