"""What is asked for instead of a ratio: the share of the dense detector's cost that may remain."""

from dataclasses import dataclass
from numbers import Real
from typing import Literal

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.runtimes import check_runtime

KEY = 'pruning.target'
Cost = Literal['macs', 'params', 'latency']
# What the costs are called in messages.
WORDS = {'macs': 'multiply-accumulates', 'params': 'parameters', 'latency': 'latency'}

SOLVERS = ('auto', 'greedy')
AUTO = 'auto'
# What ``spread='auto'`` tries.
SPREADS = (1.25, 1.0, 1.1, 1.5, 2.0, 4.0)


@dataclass
class Target:
    """One cost of the whole detector, heads included, and how much of it may remain.

    Attributes:
        macs: share of the multiply-accumulates, in (0, 1); or ...
        params: ... of the parameters; or ...
        latency: ... of the milliseconds of one image on the device at hand. Exactly one of them.
        max_ratio: at most so large a part of a group's channels goes, in (0, 1).
        spread: and at most so many times the part that would have to go of every group, if it were
            the same of all, >= 1. Costs are those of one group alone on the dense detector; where
            several layers in a row are cut deep, more is lost than they tell. 1 is one ratio for
            all but for what it would save too much, ``float('inf')`` leaves all to the costs.
            ``'auto'`` prunes a copy, without training, at each of 1, 1.1, 1.25, 1.5, 2 and 4 that
            makes a difference, and takes the one with the smallest loss of the detector on the
            selection images; without annotations the one whose outputs there are nearest to the
            dense detector's.
        latency_table: JSON file with the times of the layers, made on this device or another one:
            the ``latency_table.json`` of a run, or the ``times.json`` of a layer kit; ``None``:
            they are measured, and kept in the work_dir.
        runtime: for `latency`, what runs the detector: ``'onnxruntime'``, ``'openvino'``,
            ``'ncnn'``, ``'mnn'``, ``'litert'``; ``None`` or ``'torch'`` is PyTorch.
        threads: for `latency`, of the CPU, >= 1; ``None``: as many as PyTorch uses.
        any_device: take a `latency_table` of another processor, number of threads or version,
            which is refused otherwise. Latencies are then predicted from it, and not measured.
        solver: how the amount is shared out over the groups: ``'greedy'``, the cheapest removals
            first; ``'auto'``, that and an integer programme, of which the cheaper result is
            taken.

    Raises:
        CompressionError: a value is out of range, or it is not exactly one cost.
    """

    macs: float | None = None
    params: float | None = None
    latency: float | None = None
    max_ratio: float = 0.8
    spread: float | Literal['auto'] = 1.25
    latency_table: str | None = None
    runtime: str | None = None
    threads: int | None = None
    any_device: bool = False
    solver: str = 'auto'

    def __post_init__(self) -> None:
        given = [cost for cost in WORDS if getattr(self, cost) is not None]
        if len(given) != 1:
            found = ' and '.join(f'{cost}={getattr(self, cost)!r}' for cost in given) or 'none'
            raise CompressionError(
                f'{KEY}: give exactly one of macs, params and latency (there is {found}); to '
                'take one back that a base config gives, set it to None'
            )
        for key in (*given, 'max_ratio'):
            value = getattr(self, key)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 < value < 1:
                what = (
                    "the largest part of a group's channels that may go"
                    if key == 'max_ratio'
                    else f"the share of the dense detector's {WORDS[key]} that may remain"
                )
                raise CompressionError(
                    f'{KEY}.{key}={value!r} is {what}: it must lie between 0 and 1, both excluded'
                )
        number = isinstance(self.spread, Real) and not isinstance(self.spread, bool)
        if not self.tries_spreads and not (number and self.spread >= 1):
            raise CompressionError(
                f'{KEY}.spread={self.spread!r} says how unequal the parts of the groups may be: '
                f'it must be 1 or more, or {AUTO!r}'
            )
        self._check_latency()
        if self.solver not in SOLVERS:
            raise CompressionError(
                f'{KEY}.solver={self.solver!r}: use {" or ".join(map(repr, SOLVERS))}'
            )

    def _check_latency(self) -> None:
        """Raise a CompressionError for keys that only a latency reads, or wrong values of them."""
        for key in ('latency_table', 'runtime', 'threads', 'any_device'):
            if getattr(self, key) not in (None, False) and self.latency is None:
                raise CompressionError(
                    f'{KEY}.{key}={getattr(self, key)!r} is read for {KEY}.latency only'
                )
        if self.runtime is not None:
            check_runtime(self.runtime, f'{KEY}.runtime')
        if self.threads is not None:
            check_integer(f'{KEY}.threads', self.threads, least=1)
        if self.any_device and self.latency_table is None:
            raise CompressionError(
                f'{KEY}.any_device is about a {KEY}.latency_table, and none is given'
            )

    @property
    def cost(self) -> Cost:
        """Which cost it is."""
        return next(cost for cost in WORDS if getattr(self, cost) is not None)

    @property
    def tries_spreads(self) -> bool:
        """Whether copies are pruned to find `spread`."""
        return self.spread == AUTO

    @property
    def spreads(self) -> tuple[float, ...]:
        """The values of `spread` that come into question, the usual one first."""
        return SPREADS if self.tries_spreads else (self.spread,)

    @property
    def share(self) -> float:
        """How much of it may remain, in (0, 1)."""
        return getattr(self, self.cost)
