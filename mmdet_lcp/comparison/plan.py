"""What a comparison will run, checked as a whole before anything runs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_lcp.comparison.budget import Budget, share_out, total_iterations
from mmdet_lcp.comparison.cells import Cell, pruning_cell
from mmdet_lcp.comparison.controls import (
    CONTROLS,
    FROM_SCRATCH,
    dense_retrained_cell,
    pruned_structure,
    scratch_cell,
    uniform_structure,
)
from mmdet_lcp.comparison.ground import Ground, prepare_ground
from mmdet_lcp.comparison.method_options import split_options, with_options
from mmdet_lcp.comparison.methods import (
    OWN_KEYS,
    POSITIONS,
    Method,
    find_method,
    has_known_method,
    without_method,
)
from mmdet_lcp.comparison.request import Request, check_one_architecture, check_request
from mmdet_lcp.comparison.results.removal_amount import OWN, amount_name, macs_amount
from mmdet_lcp.config.file import read_config
from mmdet_lcp.config.fingerprint import fingerprint
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.ratio_file import is_ratio_file
from mmdet_lcp.pruning.suited import attachable_stages, suited_stages
from mmdet_lcp.pruning.targets.target import WORDS


@dataclass
class ComparisonPlan:
    """What will be run.

    Attributes:
        config: path of the config.
        cells: in order of execution: the first seed of everything comes first.
        methods: their names, in the order that was asked for.
        shared: fingerprint of what all cells have in common.
        notes: what the user should know.
        against: as in `Request`.
    """

    config: str
    cells: list[Cell]
    methods: list[str]
    shared: dict[str, Any]
    notes: list[str]
    against: str = ''


def plan_comparison(request: Request) -> ComparisonPlan:
    """Lay out all cells.

    Raises:
        CompressionError: something in the request, the config or a fragment has to be mended.
    """
    check_request(request)
    of_methods, rest = split_options(request.cfg_options)
    request = replace(request, cfg_options=rest)
    methods: dict[str, Method | str] = {}
    for name in request.methods:
        found = name if name in CONTROLS else find_method(name, CONTROLS)
        methods[name if name in CONTROLS else found.name] = found
    if len(methods) < len(request.methods):
        raise CompressionError(f'--criteria names a method twice: {", ".join(request.methods)}')
    base, of_target = _load(request)
    if of_methods and all(isinstance(method, str) for method in methods.values()):
        raise CompressionError(
            f'--cfg-options {" ".join(of_methods)}: --criteria names controls only, which have no '
            'method of pruning to change'
        )
    for name, method in methods.items():
        if isinstance(method, Method):
            methods[name] = with_options(method, of_methods, base[KEY])
    by_amount = _amounts(base, of_target, request)
    for cfg in by_amount.values():
        PruningConfig.from_cfg(cfg)
        for method in methods.values():
            if isinstance(method, Method):  # misspelt keys, before data sets are read
                _check(method, cfg)
    ground = prepare_ground(Config(base))
    notes = _note_on_own_method(base, methods.values())
    if request.finetune_all:
        if not any(isinstance(each, Method) and not each.is_peer for each in methods.values()):
            raise CompressionError(
                '--finetune-all: --criteria names no method that prunes group by group'
            )
        notes += [
            f'{name} prunes all groups at once: --finetune-all does not apply to it, all of its '
            'training is at the end'
            for name, method in methods.items()
            if isinstance(method, Method) and method.is_peer
        ]
    cells = [
        cell
        for amount, cfg in by_amount.items()
        for cell in _cells_of(amount, cfg, methods, request, ground, notes)
    ]
    order = {seed: number for number, seed in enumerate(request.seeds)}
    cells.sort(key=lambda cell: order[cell.seed])
    shared = _shared(base, of_target, request, of_methods)
    names = list(methods)
    return ComparisonPlan(request.config, cells, names, shared, notes, request.against)


def _cells_of(
    ratio: float | str,
    cfg: dict[str, Any],
    methods: Mapping[str, Method | str],
    request: Request,
    ground: Ground,
    notes: list[str],
) -> list[Cell]:
    cfg = _same_groups(cfg, methods, ground, notes)
    pruning = PruningConfig.from_cfg(cfg)
    stages = ground.stages(pruning)
    if pruning.target is not None:
        ground.check_target(pruning.target, stages)
    total = total_iterations(pruning, len(stages), ground.epoch_length)
    cells = []
    for name, method in methods.items():
        if isinstance(method, Method):
            trains = method.trains_along or (request.finetune_all and not method.is_peer)
            finetune = request.finetune_iters if trains else 0
            budget: Budget = share_out(total, len(stages), finetune, name)
            if finetune and pruning.target is not None:
                notes.append(
                    f'{name} at {amount_name(ratio)}: trains {finetune} iterations less for each '
                    'group that it leaves whole'
                )
            cells += [
                pruning_cell(cfg, method, ratio, seed, budget, ground.epoch_length)
                for seed in request.seeds
            ]
        else:
            cells += _control_cells(name, ratio, cfg, methods, request, ground, stages, notes)
    return cells


def _same_groups(
    cfg: dict[str, Any], methods: Mapping[str, Method | str], ground: Ground, notes: list[str]
) -> dict[str, Any]:
    """The config with the groups that every method can work on, where it takes all that can go.

    Otherwise methods would prune different groups; what is named in `layers` stays as it is.
    """
    pruning = PruningConfig.from_cfg(cfg)
    if not pruning.takes_all:
        return cfg
    stages = kept = ground.stages(pruning)
    for name, method in methods.items():
        if isinstance(method, Method):
            own = PruningConfig.from_cfg({**cfg, KEY: method.apply(cfg[KEY])})
            kept, left = suited_stages(ground.detector, kept, own, spare=True)
            if own.attachment is not None:
                kept, more = attachable_stages(ground.detector, kept, own.attachment, spare=True)
                left += more
            if left:
                names = ', '.join(item.name for item in left)
                notes.append(f'{name} cannot work on {names}: no method prunes them')
    if len(kept) == len(stages):
        return cfg
    layers = [f'^{re.escape(stage.group.name)}$' for stage in kept]
    return {**cfg, KEY: {**cfg[KEY], 'layers': layers}}


def _dense_cells(
    ratio: float | str, cfg: dict[str, Any], request: Request, ground: Ground, total: int
) -> list[Cell]:
    first = [*request.ratios, *map(macs_amount, request.macs), ratio][0]
    cells = [dense_retrained_cell(cfg, ground, ratio, seed, total) for seed in request.seeds]
    for cell in cells:
        if ratio != first:  # what is removed from others makes no difference to it
            cell.same_as = replace(cell, ratio=first).name
    return cells


def _control_cells(
    name: str,
    ratio: float | str,
    cfg: dict[str, Any],
    methods: Mapping[str, Any],
    request: Request,
    ground: Ground,
    stages: list[Stage],
    notes: list[str],
) -> list[Cell]:
    total = total_iterations(PruningConfig.from_cfg(cfg), len(stages), ground.epoch_length)
    if name not in FROM_SCRATCH:
        return _dense_cells(ratio, cfg, request, ground, total)
    plan = pruned_structure(ground, stages)
    same = False
    if name == 'uniform' and not isinstance(cfg[KEY].get('ratio'), Mapping):
        same = 'scratch' in methods
        notes.append(
            f'uniform at {ratio:g}: one ratio for all layers narrows them uniformly already, so '
            'its architecture is that of scratch' + (', whose result it shares' if same else '')
        )
    elif name == 'uniform':
        plan, difference = uniform_structure(ground, stages)
        if abs(difference) > 0.01:
            notes.append(
                f'uniform: whole channels come no nearer to the pruned MACs than '
                f'{100 * difference:+.1f} %'
            )
    if request.scratch_options:
        own = {**request.cfg_options, **request.scratch_options}
        cfg = {**read_config(request.config, own).to_dict(), KEY: cfg[KEY]}
    cells = []
    for seed in request.seeds:
        cell = scratch_cell(name, cfg, plan, ground, ratio, seed, total)
        if same:
            cell.same_as = cell.name.replace('uniform', 'scratch', 1)
        cells.append(cell)
    return cells


def _check(method: Method, cfg: dict[str, Any]) -> None:
    try:
        PruningConfig.from_cfg({**cfg, KEY: method.apply(cfg[KEY])}).check_trials()
    except CompressionError as error:
        raise CompressionError(f'{method.name}: {error}') from error


def _note_on_own_method(base: dict[str, Any], methods: Iterable[Method | str]) -> list[str]:
    """What the user should know of a method that the config itself sets up."""
    if has_known_method(base[KEY], [method for method in methods if isinstance(method, Method)]):
        return []
    keys = ', '.join(f'{KEY}.{key}' for key in (*OWN_KEYS, POSITIONS) if key != 'method')
    return [
        f'what the config itself says of its method ({keys}) is not compared: the methods are '
        'the fragments that --criteria names. Change them with --cfg-options, or name a fragment '
        'file of yours'
    ]


def _load(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config as plain data, with the checkpoint's full path in it; see `_besides_share`."""
    base = read_config(request.config, request.cfg_options).to_dict()
    of_target = _besides_share(base, request)
    pruning = PruningConfig.from_cfg(base)
    if is_ratio_file(base[KEY].get('ratio')):
        base[KEY]['ratio'] = pruning.ratio
    checkpoint = request.checkpoint or base.get('load_from')
    if not checkpoint:
        raise CompressionError(
            'all methods start from one trained detector: name its checkpoint with --checkpoint '
            'FILE, or set `load_from` in the config'
        )
    if not Path(checkpoint).is_file():
        where = '--checkpoint' if request.checkpoint else 'load_from'
        raise CompressionError(
            f'{where}={checkpoint!r}: there is no such file; train the dense detector first, or '
            'name another one with --checkpoint FILE'
        )
    base['load_from'] = str(Path(checkpoint).resolve())
    for key in ('resume', 'work_dir'):
        base.pop(key, None)
    return base, of_target


def _besides_share(base: dict[str, Any], request: Request) -> dict[str, Any]:
    """What `pruning.target` says besides a share, such as `max_ratio`; taken out of the config.

    Its own share of the multiply-accumulates is what is compared at where the request names none.
    """
    pruning = base.get(KEY)
    target = pruning.get('target') if isinstance(pruning, dict) else None
    if target is None:
        return {}
    if isinstance(target, dict):
        shares = {cost: target[cost] for cost in WORDS if target.get(cost) is not None}
        rest = {k: v for k, v in target.items() if k not in (*WORDS, '_delete_')}
        by_share = request.macs or (shares and not request.ratios)
        if set(shares) <= {'macs'} and (by_share or not rest):  # else nothing reads the rest
            del pruning['target']
            if shares:
                pruning['default'] = dict(target=shares)
            return rest
    raise CompressionError(
        f'{KEY}.target: methods are compared at a share of the multiply-accumulates, its own '
        '(macs=...) or those of --macs, or at --ratios; set the other costs to None, and with '
        '--ratios all of its keys'
    )


def _amounts(
    base: dict[str, Any], of_target: dict[str, Any], request: Request
) -> dict[float | str, dict[str, Any]]:
    """The config for every amount that is removed, by its name in the tables."""
    changes: dict[float | str, dict[str, Any]] = {r: dict(ratio=r) for r in request.ratios}
    for share in request.macs:
        changes[macs_amount(share)] = dict(ratio=None, target=dict(of_target, macs=share))
    if not changes:
        own = PruningConfig.from_cfg(base)
        if own.target is None:
            changes = {OWN if isinstance(own.ratio, Mapping) else own.ratio: {}}
        elif own.target.cost == 'macs':
            check_one_architecture(request)
            more = dict(target=dict(of_target, macs=own.target.share)) if of_target else {}
            changes = {macs_amount(own.target.share): more}
        else:
            raise CompressionError(
                f'{KEY}.default is a target of {own.target.cost}: say with --macs what may '
                'remain, or with --ratios how much goes of each group'
            )
    return {amount: {**base, KEY: {**base[KEY], **more}} for amount, more in changes.items()}


def _shared(
    base: dict[str, Any],
    of_target: dict[str, Any],
    request: Request,
    of_methods: Mapping[str, Any],
) -> dict[str, Any]:
    """Fingerprint of a comparison: its config without the method, the ratio and the seed."""
    pruning = without_method(base[KEY])
    for key in ('ratio', 'default', 'evaluate'):
        pruning.pop(key, None)
    if of_target:
        pruning['target'] = of_target
    rest = {k: v for k, v in base.items() if k != 'randomness'}
    if of_methods:  # a folder without any is as it was before they were taken
        rest['--cfg-options'] = {k: v for k, v in of_methods.items() if k != f'{KEY}.method'}
    if request.finetune_all:
        rest['--finetune-all'] = True
    return fingerprint({**rest, KEY: pruning, '--finetune-iters': request.finetune_iters})
