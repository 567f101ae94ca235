"""What a comparison's folder holds so far: its cells, and statistics over their seeds.

A cell is one run: a method, a ratio and a seed. Its folder ``cells/NAME/`` has ``cell.json`` (who
it is), and once it has ended a report, or a control's result.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.results.removal_amount import amount_name, amount_order
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json
from mmdet_lcp.measure.metrics import found_nothing, is_number, with_zeros
from mmdet_lcp.report.report import REPORT_JSON, Report, read_report

COMPARISON_JSON = 'comparison.json'
CELLS = 'cells'
CELL_JSON = 'cell.json'
RUN = 'run'
REPORT = f'{RUN}/{REPORT_JSON}'
CONTROL_RESULT = f'{RUN}/control.json'
FAILED = 'failed.txt'
LOG = 'log.txt'

FINISHED, FAILED_STATE, MISSING_STATE = 'finished', 'failed', 'not finished'

_KNOWN_METRICS = (
    ('pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75'),
    ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75'),
)
_AGREEMENT = 1e-3  # measurements of the same weights differ by less, whatever the threads


@dataclass
class CellResult:
    """One cell, finished or not.

    Attributes:
        method: its name.
        ratio: fraction of the channels that went, or another amount; see `removal_amount`.
        seed: of all random numbers.
        update: the update's type; ``None`` for a control.
        state: `FINISHED`, `FAILED_STATE` or `MISSING_STATE`; the rest is empty unless finished.
        iterations: of training, in words.
        dense: metrics of the dense detector; empty for a control.
        selected: those after the last selection, before the retraining; empty for a control.
        final: those at the end.
        steps: (group, metrics on the validation set) after each group, if they were measured;
            the first is ``'dense'``.
        params: parameters, and ...
        macs: ... multiply-accumulates of the detector; the dense one's are `dense_params`,
            `dense_macs`.
        seconds: wall time; `seconds_selection` is that of the criterion alone.
        same_as: name of the cell whose result this is.
        latency_ms: of one image on the machine of the run; `dense_latency_ms` in the same minutes.
        run_dir: path of the work_dir of the run, of `same_as` where it is; '' if it is not known.
    """

    method: str
    ratio: float | str
    seed: int
    update: str | None = None
    state: str = MISSING_STATE
    iterations: str = ''
    dense: dict[str, float] = field(default_factory=dict)
    selected: dict[str, float] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    steps: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    params: int | None = None
    macs: int | None = None
    dense_params: int | None = None
    dense_macs: int | None = None
    seconds_selection: float | None = None
    seconds: float | None = None
    same_as: str | None = None
    latency_ms: float | None = None
    dense_latency_ms: float | None = None
    run_dir: str = ''


@dataclass
class Comparison:
    """All cells of a folder.

    Attributes:
        cells: in the order of the methods, then by ratio and seed.
        methods: names, in the order in which they were asked for.
        command: the command line that made the folder; '' if it is not known.
        config: name of the config; '' if it is not known.
        against: the method that the others are compared with; '' for the first.
    """

    cells: list[CellResult]
    methods: list[str]
    command: str = ''
    config: str = ''
    against: str = ''

    def __post_init__(self) -> None:
        """What an evaluator does not tell of a detector that has found nothing is 0."""
        told = [*(cell.final for cell in self.cells), *(cell.dense for cell in self.cells)]
        for cell in self.cells:
            if cell.state == FINISHED:
                cell.final = with_zeros(cell.final, told)

    @property
    def ratios(self) -> list[float | str]:
        """All amounts, as `amount_order` sorts them."""
        return sorted({cell.ratio for cell in self.cells}, key=amount_order)

    def of(self, method: str, ratio: float | str) -> list[CellResult]:
        """The cells of one method at one ratio, by seed."""
        return [c for c in self.cells if c.method == method and c.ratio == ratio]

    def metric_keys(self) -> list[str]:
        """The metrics to show; see `shown_metrics`."""
        return shown_metrics(cell.final for cell in self.cells)

    def remarks(self) -> list[str]:
        """One line for each run that found nothing: its zeros count in the means."""
        return [
            f'{cell.method} at {amount_name(cell.ratio)} with seed {cell.seed} finds nothing: '
            'its metrics are 0, and count in the mean'
            for cell in self.cells
            if cell.same_as is None and found_nothing(cell.final)
        ]

    def dense(self) -> CellResult | None:
        """The dense detector: metrics and cost, as the first report has them."""
        return next((cell for cell in self.cells if cell.dense), None)

    def disagreements(self) -> list[str]:
        """One line for each metric of the dense detector in which the reports differ."""
        lines = []
        for key in self.metric_keys():
            values = [c.dense[key] for c in self.cells if _shown(c.dense.get(key))]
            if values and max(values) - min(values) > _AGREEMENT:
                lines.append(
                    f"the cells disagree on the dense detector's {key}: {min(values):.4f} to "
                    f'{max(values):.4f}. Was its checkpoint or the test set changed in between?'
                )
        return lines


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds.

    Attributes:
        mean: of the values; ``None`` without any.
        deviation: with n - 1; ``None`` below two values.
        count: n.
    """

    mean: float | None
    deviation: float | None
    count: int


def spread(values: Iterable[Any]) -> Spread:
    """Mean and standard deviation of those values that are finite numbers."""
    numbers = [float(value) for value in values if _shown(value)]
    if not numbers:
        return Spread(None, None, 0)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Spread(statistics.fmean(numbers), deviation, len(numbers))


def shown_metrics(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """The metrics of some results to show, at most three, the one to compare by first.

    mAP, AP50 and AP75 of VOC or COCO; whatever else there is, if there are none of these.
    """
    found = list(dict.fromkeys(k for metrics in results for k, v in metrics.items() if _shown(v)))
    for known in _KNOWN_METRICS:
        if known[0] in found:
            return [key for key in known if key in found]
    return found[:3]


def over_seeds(cells: Sequence[CellResult], value: Callable[[CellResult], Any]) -> Spread:
    """Spread of a value over the finished ones among some cells."""
    return spread(value(cell) for cell in cells if cell.state == FINISHED)


def read_comparison(out: str | Path) -> Comparison:
    """Read what a comparison's folder holds so far.

    Args:
        out: the folder.

    Raises:
        CompressionError: a file in it is damaged.
    """
    out = Path(out)
    about = _read_json(out / COMPARISON_JSON) if (out / COMPARISON_JSON).exists() else {}
    facts = {path.parent: _read_json(path) for path in out.glob(f'{CELLS}/*/{CELL_JSON}')}
    cells = [_read_cell(folder, facts[folder]) for folder in facts]
    methods = list(about.get('methods', []))
    methods += sorted({cell.method for cell in cells} - set(methods))
    cells.sort(key=lambda c: (methods.index(c.method), amount_order(c.ratio), c.seed))
    told = (about.get(key, '') for key in ('command', 'config', 'against'))
    return Comparison(cells, methods, *told)


def from_report(cell: CellResult, report: Report) -> CellResult:
    """Fill a cell from its run's report."""
    cell.state = FINISHED
    cell.dense, cell.final = report.dense.metrics, report.compressed.metrics
    cell.selected = report.pruned_metrics
    cell.steps = [
        (s.group or s.step, s.metrics) for s in report.steps if s.step in ('dense', 'selected')
    ]
    cell.params, cell.macs = report.compressed.params, report.compressed.macs
    cell.dense_params, cell.dense_macs = report.dense.params, report.dense.macs
    cell.latency_ms = report.compressed.latency_ms
    cell.dense_latency_ms = report.dense.latency_ms
    cell.seconds = report.seconds
    timed = [g.criterion_seconds for g in report.groups if g.criterion_seconds is not None]
    cell.seconds_selection = sum(timed) if timed else None
    return cell


def _read_cell(folder: Path, facts: dict[str, Any]) -> CellResult:
    try:
        keys = ('method', 'ratio', 'seed', 'update', 'iterations', 'same_as')
        cell = CellResult(**{key: facts[key] for key in keys})
    except KeyError as error:
        raise CompressionError(
            f'{folder / CELL_JSON} is damaged: it has no {error}. Delete {folder} to run the cell '
            'anew.'
        ) from error
    source = folder.with_name(cell.same_as) if cell.same_as else folder
    cell.run_dir = str(source / RUN)
    if (source / REPORT).exists():
        return from_report(cell, read_report(source / REPORT))
    if (source / CONTROL_RESULT).exists():
        result = _read_json(source / CONTROL_RESULT)
        cell.state, cell.final = FINISHED, result['metrics']
        cell.params, cell.macs = result['params'], result['macs']
        cell.seconds = result['seconds']
    elif (source / FAILED).exists():
        cell.state = FAILED_STATE
    return cell


def _read_json(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise CompressionError(f'{path} is damaged: it holds no JSON object')
    return data


def _shown(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
