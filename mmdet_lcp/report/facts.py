"""What a report tells of one detector, layer, group or moment of a run, as data."""

from dataclasses import dataclass, field

# How a criterion's log names a loss term's share of the gradient.
SHARE = 'share_'

STEPS = ('dense', 'selected', 'finetuned', 'distilled', 'transformed', 'trained', 'final')


@dataclass
class DetectorFacts:
    """What is known of one detector, before or after compression.

    Attributes:
        metrics: The evaluator's numbers, by its own keys (``'pascal_voc/AP50'``).
        params: Number of parameters.
        macs: Multiply-accumulates of one image.
        backbone_macs: Those of the backbone's convolutions and linear layers.
        latency_ms: Time of one image in milliseconds, see `measure.pair_timing`.
        file_bytes: Size of the checkpoint that holds its weights alone.
        latency_range_ms: Least and largest latency of the rounds in which it was measured.
        evaluated: False where its metrics are none because nobody has asked for them.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    backbone_macs: int | None = None
    latency_ms: float | None = None
    file_bytes: int | None = None
    latency_range_ms: list[float] | None = None
    evaluated: bool = True


@dataclass
class GroupFacts:
    """What became of one channel group.

    Attributes:
        name: The group's name.
        total: Channels before.
        asked: Channels that the config asked to keep.
        kept: Channels kept.
        criterion_seconds: How long scoring and picking took.
        log: Figures that the criterion and the update tell of, such as ``share_regression``.
    """

    name: str
    total: int
    asked: int
    kept: int
    criterion_seconds: float | None = None
    log: dict[str, float] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each loss term in the squared gradients, by term; empty if not measured."""
        return {k[len(SHARE) :]: v for k, v in self.log.items() if k.startswith(SHARE)}


@dataclass
class WeightFacts:
    """What became of the weights of one layer, in the packed file.

    Attributes:
        name: The tensor's name in the checkpoint.
        scheme: What was done to it, in words; ``''`` for nothing.
        weights: Number of elements.
        nonzero: Those that are not zero.
        bytes_before: In memory, as the dense detector has it.
        bytes_after: In the packed file, its share of the index left out.
        bytes_sparse: Before anything was coded: what is not zero, with relative indices; None if
            it was not counted.
        bytes_shared: The same with indices into a codebook, where the values are few.
    """

    name: str
    scheme: str
    weights: int
    nonzero: int
    bytes_before: int
    bytes_after: int
    bytes_sparse: int | None = None
    bytes_shared: int | None = None

    @property
    def bits(self) -> float:
        """Bits in the file for each element; 0 for an empty tensor."""
        return 8 * self.bytes_after / max(self.weights, 1)


@dataclass
class LayerFacts:
    """What one layer with kernels costs for one image, before and after.

    Attributes:
        name: Its path.
        channels: That it writes, as (before, after).
        params: Elements of its parameters, as (before, after).
        macs: Multiply-accumulates of all its calls, as (before, after).
        ms: Milliseconds of all its calls, measured inside the whole pass, as (before, after).
    """

    name: str
    channels: tuple[int, int]
    params: tuple[int, int]
    macs: tuple[int, int]
    ms: tuple[float, float]

    def __post_init__(self) -> None:
        """Lists, as JSON has them, become pairs."""
        for key in ('channels', 'params', 'macs', 'ms'):
            before, after = getattr(self, key)
            setattr(self, key, (before, after))


@dataclass
class TargetFacts:
    """The share of a cost that was asked for, and what has come of it.

    Attributes:
        cost: ``'macs'``, ``'params'`` or ``'latency'``.
        asked: Share of the dense detector's cost that may remain.
        predicted: Share that was predicted before anything was trained.
        reached: Share that the compressed detector has, as it was counted or measured; of a
            latency in PyTorch, whatever `runtime` is.
        floor: The smallest share that could have been asked for.
        measured: Share that was measured when the channels were chosen, before any training;
            None where nothing was, or it is no latency.
        reached_range: Smallest and largest share that single rounds of the measurement gave.
        runtime: Of a latency, what `asked`, `predicted` and `measured` are milliseconds in; '' is
            PyTorch.
    """

    cost: str
    asked: float
    predicted: float
    reached: float | None = None
    floor: float | None = None
    measured: float | None = None
    reached_range: list[float] | None = None
    runtime: str = ''


@dataclass
class SkippedLayer:
    """A layer or group that was left alone, and why."""

    name: str
    reason: str


@dataclass
class StepFacts:
    """The metrics measured at one moment of the run.

    Attributes:
        step: ``'dense'``, ``'selected'`` (right after surgery), ``'finetuned'``,
            ``'distilled'`` (trained on the dense detector's outputs), ``'transformed'`` (weights
            are read through a transform, not trained yet), ``'trained'`` (with it) or
            ``'final'``.
        group: Name of the group or stage, None where the step concerns the whole detector.
        metrics: As in :class:`DetectorFacts`.
    """

    step: str
    group: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise ValueError(f'step is one of {", ".join(STEPS)}, not {self.step!r}')

    @property
    def label(self) -> str:
        """The step in words: ``'backbone.conv1, selected'``."""
        return f'{self.group}, {self.step}' if self.group else self.step


@dataclass
class LossFacts:
    """The loss terms over a piece of training.

    Attributes:
        iteration: The last one of the piece, counted from 1.
        terms: Mean of each term over the piece, as it is added up, by its name in the log.
    """

    iteration: int
    terms: dict[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each term in their sum, 0 to 1; all 0 where the sum is not positive."""
        total = sum(self.terms.values())
        return {name: value / total if total > 0 else 0.0 for name, value in self.terms.items()}
