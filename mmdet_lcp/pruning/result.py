"""PruningResult: a pruned network, its plan, and what became of each group; saved and loaded."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import load_torch_bytes, read_json, write_json
from mmdet_lcp.graph import Member, Plan, apply_plan
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.modes import evaluated
from mmdet_lcp.plain_weights import write_weights
from mmdet_lcp.pruning.call_words import in_call_words
from mmdet_lcp.pruning.delivery import PLAN, PRUNED_CONFIG, PRUNED_WEIGHTS, deliver
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.facts import GroupFacts
from mmdet_lcp.report.tables import format_count, format_seconds, text_table


@dataclass(frozen=True)
class PruningResult:
    """What `prune` returns; printing it shows a summary.

    Attributes:
        detector: the pruned network, of the class that was given, and in train or eval mode as
            that was.
        plan: which channels of which module stay; it alone turns the dense network into this one.
        groups: what became of each group, in order.
        members: which channels of which layers each group has, by its name.
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
    members: Mapping[str, tuple[Member, ...]]
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
            lines.append(in_call_words(str(self.allocation), self.detector))
        lines.append(f'{_left_alone(self.skipped)}, {format_seconds(self.seconds)}')
        return '\n'.join(lines)


def explain(plan: Plan | PruningResult) -> str:
    """What a plan does, line by line: a module, an axis, how many channels of how many stay.

    Args:
        plan: a plan; or a result, of which the lines are put together group by group, and which
            also says what was left alone and why.

    Raises:
        CompressionError: it is neither.

    Example:
        >>> print(explain(result))
        0: 8 -> 4 channels
          0: out_channels 8 -> 4
          2: in_channels 8 -> 4
        1 group left alone:
          2: its channels are the network's outputs
    """
    if isinstance(plan, Plan):
        return '\n'.join(
            f'{path}: {axis} {kept.total} -> {len(kept.keep)}'
            for path, axes in plan.modules.items()
            for axis, kept in axes.items()
        )
    _must_be(plan, PruningResult, 'explain() takes what prune() returns, or its plan')
    lines = []
    for group in plan.groups:
        lines.append(f'{group.name}: {group.total} -> {group.kept} channels')
        lines += [f'  {_member_line(member, plan.plan)}' for member in plan.members[group.name]]
    if plan.skipped:
        lines.append(f'{_left_alone(plan.skipped)}:')
        lines += [f'  {item.name}: {item.reason}' for item in plan.skipped]
    return '\n'.join(lines)


def _member_line(member: Member, plan: Plan) -> str:
    """What stays of a group's channels on one axis, and how many channels that has in all."""
    kept = plan.modules[member.path][member.axis]
    stay = len(set(member.index) & set(kept.keep))
    of = f' (of {kept.total})' if len(member.index) < kept.total else ''
    return f'{member.path}: {member.axis} {len(member.index)} -> {stay}{of}'


def _left_alone(skipped: Sequence[Skipped]) -> str:
    return f'{len(skipped)} group{"" if len(skipped) == 1 else "s"} left alone'


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

    Raises:
        CompressionError: something else is given, or the folder cannot be written to.
    """
    _must_be(result, PruningResult, 'save() takes what prune() returns')
    if config is not None:
        _must_be(config, Config, "save(config=...) takes a Config, as Config.fromfile('my.py') is")
        if 'model' not in config:
            raise CompressionError('save(config=...): the config has no `model`')
    _must_be(meta or {}, Mapping, 'save(meta=...) takes a dict')
    _check_plain(meta)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompressionError(f'{folder} cannot be a folder: {error}') from error
    if config is not None:
        deliver(config, result.detector, result.plan, folder, dict(meta or {}))
        return folder
    write_json(folder / PLAN, result.plan.to_dict())
    write_weights(folder / PRUNED_WEIGHTS, result.detector.state_dict(), dict(meta or {}))
    return folder


def _must_be(given: Any, kind: type, words: str) -> None:
    if not isinstance(given, kind):
        raise CompressionError(f'{words}, not {type(given).__name__}')


def _check_plain(meta: Any) -> None:
    """See that a checkpoint with this can be read again, without running code from it."""
    try:
        with io.BytesIO() as file:
            torch.save(meta, file)
            file.seek(0)
            load_torch_bytes(file)
    except Exception as error:  # whatever the pickling of someone else's object raises
        found = re.search(r'GLOBAL ([\w.]+)', str(error))
        what = f'no {found[1]}' if found else f'but: {error}'
        raise CompressionError(
            'save(meta=...) takes plain data, which can be loaded again: numbers, text, tensors, '
            f'and lists and dicts of them; {what}'
        ) from error


def load(folder: str | Path, network: nn.Module | None = None) -> nn.Module:
    """Open what `save` has written.

    Args:
        folder: of `save`, or a pruning run's work_dir.
        network: a dense network, newly built (its weights do not matter); it is pruned in place.
            Not needed where there is a ``pruned_config.py``.

    Returns:
        The pruned network with its weights, in eval mode whatever mode it was saved in.

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
    _must_be(network, nn.Module, 'load(folder, network) takes the dense network')
    try:
        apply_plan(network, Plan.from_dict(read_json(folder / PLAN)))
        load_detector(network, folder / PRUNED_WEIGHTS)
    except CompressionError as error:
        error.args = (in_call_words(str(error), network),)
        raise
    return evaluated(network)
