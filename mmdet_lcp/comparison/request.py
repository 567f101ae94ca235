"""What is asked of a comparison, and whether it makes sense before any config is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet_lcp.comparison.controls import FROM_SCRATCH
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import KEY


@dataclass
class Request:
    """What was asked for.

    Attributes:
        config: path of a pruning config.
        methods: names of methods, fragments and controls.
        ratios: fractions of the channels that go, each in (0, 1).
        seeds: one run for each.
        checkpoint: the dense detector; ``None`` takes the config's `load_from`.
        finetune_iters: iterations before each group, for methods that train something along, or
            with `finetune_all` for every method.
        cfg_options: changes to the config, by dotted key.
        scratch_options: further changes for the controls that are trained from scratch, by dotted
            key; none of `pruning` or `model`. A small network may want another learning rate than
            the dense one.
        macs: shares of the multiply-accumulates that may remain, each in (0, 1); every method
            shares the removal out over the groups by its own scores. Without these and ratios:
            what the config itself asks for.
        finetune_all: whether every method trains before each group, not only those that train
            something along; the other packages' pruners prune at once and do not.
        against: the method that the others are compared with; '' for the first of the folder.
    """

    config: str
    methods: Sequence[str]
    ratios: Sequence[float] = ()
    seeds: Sequence[int] = (0,)
    checkpoint: str | None = None
    finetune_iters: int = 8
    finetune_all: bool = False
    cfg_options: Mapping[str, Any] = field(default_factory=dict)
    scratch_options: Mapping[str, Any] = field(default_factory=dict)
    macs: Sequence[float] = ()
    against: str = ''


def check_request(request: Request) -> None:
    """Check what can be told from the request alone.

    Raises:
        CompressionError: something in it has to be mended.
    """
    if not request.methods:
        raise CompressionError('--criteria names no method')
    for name, values, what in (
        ('--ratios', request.ratios, 'fraction of the channels that is removed'),
        ('--macs', request.macs, 'share of the multiply-accumulates that may remain'),
    ):
        for value in values:
            if not 0 < value < 1:
                raise CompressionError(
                    f'{name} {value:g} is the {what}: it must lie between 0 and 1, both excluded'
                )
    from_scratch = [name for name in request.methods if name in FROM_SCRATCH]
    if request.macs:
        check_one_architecture(request)
    if request.scratch_options and not from_scratch:
        raise CompressionError(
            f'--scratch-options: --criteria names none of {" and ".join(FROM_SCRATCH)}'
        )
    for key in request.scratch_options:
        if key.partition('.')[0] in (KEY, 'model'):
            raise CompressionError(
                f"--scratch-options {key}: a control has the pruned detector's architecture; "
                'only its training may differ'
            )
    for name, values in (
        ('--ratios', request.ratios),
        ('--macs', request.macs),
        ('--seeds', request.seeds),
    ):
        if len(set(values)) < len(values):
            raise CompressionError(f'{name} names a value twice: {" ".join(map(str, values))}')
    if not request.seeds or min(request.seeds) < 0:
        raise CompressionError('--seeds must be integers, 0 or above')
    if request.finetune_iters < 1:
        raise CompressionError('--finetune-iters must be at least 1')


def check_one_architecture(request: Request) -> None:
    """With a share of the multiply-accumulates there is no architecture to train from scratch.

    Raises:
        CompressionError: a control is asked for that needs one.
    """
    from_scratch = [name for name in request.methods if name in FROM_SCRATCH]
    if from_scratch:
        raise CompressionError(
            f'{from_scratch[0]} has the architecture that pruning leaves, and with --macs every '
            'method leaves another one: compare it at --ratios, or at the numbers of channels of '
            'a run (--cfg-options pruning.ratio=OUT/cells/NAME/run/report.json), in a call of '
            'its own'
        )
