"""What is known of a detector that has been tried out: a row of the support table."""

from dataclasses import dataclass, field

from mmdet_lcp.coverage.criteria import CriterionFacts


@dataclass
class TrialFacts:
    """What became of a detector.

    Attributes:
        name: see `SupportedDetector`.
        config: see `SupportedDetector`.
        size: see `SupportedDetector`.
        groups: how many groups there are.
        pruned: how many of them were pruned, by their kinds.
        obstacles: names of those that were not, by reason.
        params: parameters before, after, and after the second pruning.
        macs: multiply-accumulates of the layers with kernels for one image: ``'dense'``;
            ``'backbone'``, where the backbone's single groups have lost half of their channels;
            ``'all'``, where all groups have.
        default: share of the multiply-accumulates that the package's default takes, in [0, 1].
        holds: where that is not the half that it asks for, the layers that hold the rest.
        criteria: what became of each criterion, by name.
        differences: largest differences of any output relative to its largest value:
            ``'masked'``, removed and zeroed channels; ``'loss'``, of the training loss of both;
            ``'selection loss'``, of that and of the one that channels are selected by;
            ``'reloaded'``, in memory and read back; ``'again'`` and ``'again reloaded'``, the same
            of the second pruning; ``'exported'``, PyTorch and ONNX Runtime, where that is
            installed.
        single: names of those of them that were taken in single precision, since the detector
            mixes it with double precision.
        chosen: names of those of them where one of the two had to choose what the other has
            chosen: the best of near-equal scores, say.
        loss: of the training iteration.
        predicted: detections of the pruned detector on one image.
        exported: how large the exported file is, in bytes; or why there is none.
        failures: by step, what went wrong.
        seconds: processor time that each step took.
        running: the step under way; empty when the trial has come to its end.
        made_with: versions, see `coverage.rows`.
    """

    name: str
    config: str
    size: int
    groups: int = 0
    pruned: dict[str, int] = field(default_factory=dict)
    obstacles: dict[str, list[str]] = field(default_factory=dict)
    params: list[int] = field(default_factory=list)
    macs: dict[str, int] = field(default_factory=dict)
    default: float | None = None
    holds: str = ''
    criteria: dict[str, CriterionFacts] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    single: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    loss: float | None = None
    predicted: int | None = None
    exported: int | str = ''
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    running: str = ''
    made_with: dict[str, str] = field(default_factory=dict)
