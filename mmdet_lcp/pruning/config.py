"""The `pruning` config: every key, its default and its range, checked before anything runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.config.keys import build, check_keys, check_pattern, parse, section
from mmdet_lcp.distillation.config import KEY as MIMIC
from mmdet_lcp.distillation.config import MimicConfig, read_mimic
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.groups import KINDS
from mmdet_lcp.measure.runtimes import check_runtime
from mmdet_lcp.measure.step_table import StepTable
from mmdet_lcp.nearest import nearest_hint
from mmdet_lcp.pruning.channel_steps import AUTO, step_table
from mmdet_lcp.pruning.criteria import Criterion
from mmdet_lcp.pruning.criteria.base import check_has_costs
from mmdet_lcp.pruning.distill import DistillConfig
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.ratio_file import is_ratio_file, read_ratios
from mmdet_lcp.pruning.targets.target import WORDS, Target
from mmdet_lcp.pruning.updates import Update
from mmdet_lcp.registry import ATTACHMENTS, CRITERIA, UPDATES
from mmdet_lcp.selection.config import SelectionConfig

KEY = 'pruning'
ALL = '.'
"""The pattern of `layers` that takes every layer."""


@dataclass
class RetrainConfig(PhaseConfig):
    """The retraining of the pruned detector.

    Attributes:
        mimic: it learns the features of a teacher meanwhile, by default of the detector that
            pruning began with; ``None`` for no teacher.
    """

    mimic: MimicConfig | None = None

    def __post_init__(self) -> None:
        if self.mimic is not None and not isinstance(self.mimic, MimicConfig):
            self.mimic = read_mimic(self.mimic, f'{KEY}.retrain.{MIMIC}')

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        super().check(where)
        if self.mimic is not None and self.mimic.image_scale != 1:
            raise CompressionError(
                f'{where}.{MIMIC}.image_scale={self.mimic.image_scale!r}: a pruned detector is '
                'retrained on images of the size it has been pruned on; leave it out'
            )


@dataclass(kw_only=True)
class Amount:
    """How much is removed where a config does not say it; exactly one of the two.

    Attributes:
        ratio: as `RemovalConfig.ratio`, but no file.
        target: as `RemovalConfig.target`.
    """

    ratio: float | Mapping[str, float] | None = None
    target: Target | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not isinstance(self.target, Target):
            self.target = parse(Target, self.target, f'{KEY}.default.target')
        if (self.ratio is None) == (self.target is None):
            raise CompressionError(
                f'{KEY}.default must give exactly one of ratio and target; over a base that gives '
                f'the other one: default=dict(_delete_=True, ...)'
            )


@dataclass(kw_only=True)
class RemovalConfig:
    """Which groups of a detector lose how many channels, and by what.

    Attributes:
        layers: regular expression, or several, searched in the path of a group's first producer.
            ``'.'`` takes all groups that criterion, update and attachment can work on; one that a
            narrower expression takes and they cannot work on is an error.
        stages: stages of the backbone, counted from 1 as its paper does; with `layers`, both hold.
        kinds: which kinds of groups may be pruned: ``'single'``, channels that one layer writes;
            ``'coupled'``, that several layers write together (residual additions, FPN);
            ``'shared'``, that a layer writes or reads which runs several times (heads shared by
            levels). A group of two kinds needs both. Heads and necks want `layers` too.
        ratio: fraction of a group's channels that is removed, in (0, 1); or a mapping from
            regular expression to fraction (the first match counts; a group without a match is
            left alone), also by the name of a JSON file that holds one, or of another run's
            ``report.json``, for as many channels as there; instead of a target.
        target: the share of a cost of the dense detector that may remain, instead of a ratio;
            how many channels of each group go follows from a ranking over all of them.
        default: what is asked for where neither `ratio` nor `target` is given: a dict with one of
            the two. A fragment's, so that either of them in a config goes before it.
        channel_divisor: the number of channels that stay is a multiple of this, >= 1. ``'auto'``:
            of 8; of 4 in groups of fewer than 32 channels, of 2 below 8, of 1 below 4; with a
            `runtime`, of what its table of steps says is fast, layer by layer. Grouped and
            depth-wise layers are counted as runtimes do (`channel_steps`).
        runtime: what will run the detector, of ``'onnxruntime'``, ``'openvino'``, ``'ncnn'``,
            ``'mnn'``, ``'litert'``, ``'torch'``, for ``channel_divisor='auto'``; ``None`` takes
            that of `target`, if that names one.
        step_table: JSON file with the steps of `runtime`, as ``mmdet-lcp measure-steps`` writes
            it; ``None`` takes the package's for this processor, or for that of `latency_table`.
        min_channels: at least so many channels of a group stay, >= 1.
        criterion: picks the channels (`CRITERIA`).
        update: changes the weights of the consuming layers after a selection (`UPDATES`).
        objective: weights of the loss that criterion and update see.
        selection: the images on which channels are scored.
        norm_statistics: what becomes of the batch norms' running statistics before the
            retraining: ``'keep'``, ``'recalibrate'`` on the selection images, or ``'best'``, the
            one of the two with the smaller loss there.
        distill: fine-tuning on the dense detector's outputs, without annotations, after the
            last group; ``None``, the default, for none.
    """

    criterion: Criterion
    update: Update
    layers: str | Sequence[str] = r'^backbone\.'
    stages: Sequence[int] | None = None
    kinds: Sequence[str] = ('single',)
    ratio: float | Mapping[str, float] | None = None
    target: Target | None = None
    default: Amount = field(default_factory=lambda: Amount(ratio=0.5))
    channel_divisor: int | Literal['auto'] = AUTO
    runtime: str | None = None
    step_table: str | None = None
    min_channels: int = 1
    objective: Objective = field(default_factory=Objective)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    norm_statistics: str = 'best'
    distill: DistillConfig | None = None

    def __post_init__(self) -> None:
        if self.ratio is None and self.target is None:
            self.ratio, self.target = self.default.ratio, self.default.target

    def check(self) -> None:
        """Raise a CompressionError for a value out of range."""
        if not isinstance(self.layers, str) and not (_is_list(self.layers) and self.layers):
            raise CompressionError(
                f'{KEY}.layers={self.layers!r} must be a regular expression or a list of them'
            )
        for pattern in self.layer_patterns:
            check_pattern(pattern, f'{KEY}.layers')
        if self.stages is not None and not (_is_list(self.stages) and self.stages):
            raise CompressionError(
                f"{KEY}.stages={self.stages!r} must be a list of the backbone's stages"
            )
        for stage in self.stages or ():
            check_integer(f'{KEY}.stages', stage, least=1)
        self._check_kinds()
        self._check_ratio()
        if isinstance(self.channel_divisor, str) and self.channel_divisor != AUTO:
            raise CompressionError(
                f'{KEY}.channel_divisor={self.channel_divisor!r}: use {AUTO!r} or an integer >= 1'
            )
        self._check_runtime()
        for key in ('channel_divisor', 'min_channels'):
            if getattr(self, key) != AUTO:
                check_integer(f'{KEY}.{key}', getattr(self, key), least=1)
        if self.norm_statistics not in ('keep', 'recalibrate', 'best'):
            raise CompressionError(
                f"{KEY}.norm_statistics={self.norm_statistics!r}: use 'keep', 'recalibrate' or "
                "'best'"
            )
        self.selection.check(f'{KEY}.selection')
        if self.distill is not None:
            self.distill.check(f'{KEY}.distill')

    def _check_runtime(self) -> None:
        """Raise a CompressionError unless runtime and steps are known, and there is one of them.

        The table is read, so that what is wrong with it is told before anything runs.
        """
        if self.runtime is not None:
            check_runtime(self.runtime, f'{KEY}.runtime')
        asked = None if self.target is None else self.target.runtime
        if None not in (self.runtime, asked) and self.runtime != asked:
            raise CompressionError(
                f'{KEY}.runtime={self.runtime!r} and {KEY}.target.runtime={asked!r} differ: one '
                'of them is enough'
            )
        if self.step_table is not None and self.channel_divisor != AUTO:
            raise CompressionError(
                f'{KEY}.step_table={self.step_table!r} is read for {KEY}.channel_divisor='
                f'{AUTO!r} only'
            )
        self.steps()

    def steps(self) -> StepTable | None:
        """The table of steps, if a runtime is named."""
        asked = (None, None)
        if self.target is not None:
            asked = (self.target.runtime, self.target.latency_table)
        return step_table(self.runtime or asked[0], self.step_table, asked[1])

    def _check_kinds(self) -> None:
        """Raise a CompressionError unless `kinds` lists kinds of groups."""
        if not _is_list(self.kinds) or not self.kinds:
            raise CompressionError(
                f'{KEY}.kinds={self.kinds!r} must be a list of {", ".join(KINDS)}'
            )
        for kind in self.kinds:
            if kind not in KINDS:
                raise CompressionError(
                    f'{KEY}.kinds: there is no kind {kind!r}{nearest_hint(kind, KINDS)}. '
                    f'Kinds: {", ".join(KINDS)}'
                )

    def _check_ratio(self) -> None:
        """Raise a CompressionError unless there is one valid ratio, or none and a target."""
        if self.target is not None:
            if self.ratio is not None:
                raise CompressionError(
                    f'{KEY}.ratio={self.ratio!r} and {KEY}.target both say how many channels go: '
                    f'set {KEY}.ratio=None to take the target, {KEY}.target=None to take the ratio'
                )
            check_has_costs(self.criterion)
            return
        ratios = self.ratio if isinstance(self.ratio, Mapping) else {'': self.ratio}
        for pattern, ratio in ratios.items():
            where = f'{KEY}.ratio[{pattern!r}]' if pattern else f'{KEY}.ratio'
            check_pattern(pattern, where)
            if not isinstance(ratio, (int, float)) or not 0 < ratio < 1:
                raise CompressionError(
                    f"{where}={ratio!r} is the fraction of a group's channels that is removed: "
                    'it must lie between 0 and 1, both excluded'
                )

    @property
    def layer_patterns(self) -> list[str]:
        """The regular expressions of `layers`."""
        return [self.layers] if isinstance(self.layers, str) else list(self.layers)

    @property
    def takes_all(self) -> bool:
        """Whether `layers` names no layers but takes all that can be pruned."""
        return self.layer_patterns == [ALL]


@dataclass(kw_only=True)
class PruningConfig(RemovalConfig):
    """The `pruning` key of a config: what is removed, and the training around it.

    Attributes:
        attachment: what trains along in the fine-tuning before a selection (`ATTACHMENTS`);
            ``None`` for nothing.
        finetune: training of detector and attachment before each group is pruned.
        retrain: training of the whole pruned detector at the end.
        evaluate: when mAP is measured: after each ``'selected'`` (behind `distill` too) and each
            ``'finetuned'`` step on the validation set, and once before the retraining,
            ``'pruned'``, on the set that the dense and the final detector are measured on in any
            case.
        method: the name that reports show; ``None`` takes the criterion's.
    """

    finetune: PhaseConfig
    retrain: RetrainConfig
    attachment: Any = None
    evaluate: Sequence[str] = ('selected', 'finetuned', 'pruned')
    method: str | None = None

    def check(self) -> None:
        """Raise a CompressionError for a value out of range."""
        super().check()
        moments = {'selected', 'finetuned', 'pruned'}
        if not _is_list(self.evaluate) or not set(self.evaluate) <= moments:
            raise CompressionError(
                f"{KEY}.evaluate={self.evaluate!r} must be a list; only 'selected', 'finetuned' "
                "and 'pruned' can be listed"
            )
        self.finetune.check(f'{KEY}.finetune')
        self.retrain.check(f'{KEY}.retrain')

    def check_trials(self) -> None:
        """Check that copies pruned without training tell what this method leaves.

        Raises:
            CompressionError: they are asked for, and something trains along.
        """
        if self.attachment is not None and self.target and self.target.tries_spreads:
            raise CompressionError(
                f'{KEY}.target.spread={self.target.spread!r} prunes copies without training, '
                f'which does not tell what a method with {KEY}.attachment leaves: give a number, '
                '1.25 by default'
            )

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'PruningConfig':
        """Read and check the `pruning` key of a whole config.

        Raises:
            CompressionError: the key is missing or misspelt, or something in it is.
        """
        given = section(cfg, KEY, 'PruningRunner', 'pruning')
        if not isinstance(given, Mapping):
            raise CompressionError(f'{KEY} must be a dict, not {type(given).__name__}')
        given = dict(given)
        check_keys(given, [f.name for f in dataclasses.fields(cls)], KEY)
        for key in ('criterion', 'update', 'finetune', 'retrain'):
            if given.get(key) is None:
                raise CompressionError(
                    f'{KEY}.{key} is missing: inherit a fragment of configs/_base_/pruning/'
                )
        given['criterion'] = build(CRITERIA, given['criterion'], f'{KEY}.criterion')
        given['update'] = build(UPDATES, given['update'], f'{KEY}.update')
        if given.get('attachment') is not None:
            given['attachment'] = build(ATTACHMENTS, given['attachment'], f'{KEY}.attachment')
        for key, kind in (
            ('objective', Objective),
            ('selection', SelectionConfig),
            ('finetune', PhaseConfig),
            ('retrain', RetrainConfig),
            ('default', Amount),
            ('distill', DistillConfig),
        ):
            if given.get(key) is not None or (key in given and key not in ('default', 'distill')):
                given[key] = parse(kind, given[key], f'{KEY}.{key}')
        if given.get('default') is None:
            given.pop('default', None)
        if given.get('target') is not None:
            target = _with_cost(given['target'], given.get('default'))
            given['target'] = parse(Target, target, f'{KEY}.target')
        if is_ratio_file(given.get('ratio')):
            given['ratio'] = read_ratios(given['ratio'])
        if isinstance(given.get('ratio'), Mapping):  # mmengine leaves it where a base has none
            given['ratio'] = {k: r for k, r in given['ratio'].items() if k != '_delete_'}
        config = cls(**given)
        config.check()
        return config


def _with_cost(target: Any, default: Amount | None) -> Any:
    """A target that says `max_ratio` alone, say, with the cost of the default one."""
    if not isinstance(target, Mapping) or any(target.get(cost) is not None for cost in WORDS):
        return target
    if default is None or default.target is None:
        return target
    return {default.target.cost: default.target.share, **target}


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
