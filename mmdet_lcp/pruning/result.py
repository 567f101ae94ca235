"""PruningResult: a pruned network, its plan, and what became of each group; saved and loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, read_json, write_json
from mmdet_lcp.graph import Plan, apply_plan
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.modes import evaluated
from mmdet_lcp.pruning.delivery import PLAN, PRUNED_CONFIG, PRUNED_WEIGHTS, deliver
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.report import GroupFacts
from mmdet_lcp.report.tables import format_count, format_seconds, text_table


@dataclass(frozen=True)
class PruningResult:
    """What `prune` returns; printing it shows a summary.

    Attributes:
        detector: the pruned network, of the class that was given.
        plan: which channels of which module stay; it alone turns the dense network into this one.
        groups: what became of each group, in order.
        skipped: groups that were left alone, and why.
        image_size: (height, width) of the images in pixels.
        macs: multiply-accumulates of one image, before and after.
        params: parameters, before and after.
        allocation: how a target was shared out, if there was one.
        seconds: wall time of the call.
    """

    detector: nn.Module
    plan: Plan
    groups: list[GroupFacts]
    skipped: list[Skipped]
    image_size: tuple[int, int]
    macs: tuple[int, int]
    params: tuple[int, int]
    allocation: Allocation | None
    seconds: float

    def __str__(self) -> str:
        rows = [[g.name, str(g.total), str(g.kept)] for g in self.groups]
        lines = [text_table(['group', 'channels', 'kept'], rows)]
        for name, (before, after) in (
            ('multiply-accumulates', self.macs),
            ('parameters', self.params),
        ):
            share = f' ({after / before - 1:+.1%})' if before else ''
            lines.append(f'{name}: {format_count(before)} -> {format_count(after)}{share}')
        if self.allocation is not None:
            lines.append(str(self.allocation))
        lines.append(f'{len(self.skipped)} groups left alone, {format_seconds(self.seconds)}')
        return '\n'.join(lines)


def explain(plan: Plan | PruningResult) -> str:
    """What a plan does, line by line: a module, an axis, how many channels of how many stay.

    Args:
        plan: a plan; or a result, which also says what was left alone and why.

    Example:
        >>> print(explain(result))
        0: out_channels 8 -> 4
        2: in_channels 8 -> 4
    """
    result = plan if isinstance(plan, PruningResult) else None
    given = plan.plan if result else plan
    lines = [
        f'{path}: {axis} {kept.total} -> {len(kept.keep)}'
        for path, axes in given.modules.items()
        for axis, kept in axes.items()
    ]
    if result and result.skipped:
        lines.append(f'left alone, {len(result.skipped)} groups:')
        lines += [f'  {item.name}: {item.reason}' for item in result.skipped]
    return '\n'.join(lines)


def save(
    result: PruningResult,
    folder: str | Path,
    config: Config | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Path:
    """Write a pruned network into a folder, each file atomically.

    Args:
        result: of `prune`.
        folder: gets ``plan.json`` and ``pruned.pth``; with a config ``pruned_config.py`` too, for
            `init_detector`, `DetInferencer` and mmdet's tools.
        config: the mmdet config of the dense detector.
        meta: goes into the checkpoint; plain data such as
            ``dict(dataset_meta=dict(classes=('cat', 'dog')))``.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        deliver(config, result.detector, result.plan, folder, dict(meta or {}))
        return folder
    write_json(folder / PLAN, result.plan.to_dict())
    weights = {key: value.cpu() for key, value in result.detector.state_dict().items()}
    with atomic_path(folder / PRUNED_WEIGHTS) as path:
        torch.save({'meta': dict(meta or {}), 'state_dict': weights}, path)
    return folder


def load(folder: str | Path, network: nn.Module | None = None) -> nn.Module:
    """Open what `save` has written.

    Args:
        folder: of `save`, or a pruning run's work_dir.
        network: a dense network, newly built (its weights do not matter); it is pruned in place.
            Not needed where there is a ``pruned_config.py``.

    Returns:
        The pruned network with its weights, in eval mode.

    Raises:
        CompressionError: a file is missing or damaged, or the plan does not fit the network.
    """
    folder = Path(folder)
    if network is None:
        config = folder / PRUNED_CONFIG
        if not config.is_file():
            raise CompressionError(
                f'{folder} has no {PRUNED_CONFIG}: give load() the dense network, newly built, '
                'or save() the config of the detector'
            )
        from mmdet.apis import init_detector  # takes a second to import

        weights = str(folder / PRUNED_WEIGHTS)
        # a palette that is given keeps mmdet from looking for one in the test data
        return init_detector(str(config), weights, palette='random', device='cpu')
    plan = Plan.from_dict(read_json(folder / PLAN))
    apply_plan(network, plan)
    load_detector(network, folder / PRUNED_WEIGHTS)
    return evaluated(network)
