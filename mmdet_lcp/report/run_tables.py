"""The tables of a report: headers and rows of words, for Markdown, screen and page."""

from mmdet_lcp.measure.metrics import number
from mmdet_lcp.report.facts import DetectorFacts, WeightFacts
from mmdet_lcp.report.loss_picture import loss_terms
from mmdet_lcp.report.report import Report
from mmdet_lcp.report.steps_picture import step_metric
from mmdet_lcp.report.tables import (
    MISSING,
    format_bytes,
    format_change,
    format_count,
    format_difference,
    format_metric,
    format_ms,
    format_seconds,
)


def summary_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Each metric and cost before, after, and the change."""
    dense, compressed = report.dense, report.compressed
    keys = [*dense.metrics, *(key for key in compressed.metrics if key not in dense.metrics)]
    pruned = report.pruned_metrics
    rows = []
    for key in keys:
        values = [number(facts.metrics.get(key), None) for facts in (dense, compressed)]
        if values != [None, None]:
            row = [key, *map(format_metric, values), format_difference(*values)]
            rows.append([*row[:2], format_metric(number(pruned.get(key), None)), *row[2:]])
    for name, attribute, show in (
        ('parameters', 'params', format_count),
        ('MACs', 'macs', format_count),
        ('backbone MACs', 'backbone_macs', format_count),
        ('file size', 'file_bytes', format_bytes),
    ):
        values = [getattr(facts, attribute) for facts in (dense, compressed)]
        if values != [None, None]:
            row = [name, *map(show, values), format_change(*values)]
            rows.append([*row[:2], '', *row[2:]])
    latencies = [_latency(facts) for facts in (dense, compressed)]
    if latencies != [MISSING, MISSING]:
        row = ['latency', *latencies, format_change(dense.latency_ms, compressed.latency_ms)]
        size = rows[-1:] if rows and rows[-1][0] == 'file size' else []
        rows = [*rows[: len(rows) - len(size)], [*row[:2], '', *row[2:]], *size]
    header = ['', report.before, 'before retraining', report.after, 'change']
    if not pruned:
        header, *rows = [row[:2] + row[3:] for row in (header, *rows)]
    return header, rows


def group_table(report: Report) -> tuple[list[str], list[list[object]]]:
    """What became of each channel group."""
    rows = [
        [
            group.name,
            group.total,
            group.asked,
            group.kept,
            format_change(group.total, group.kept),
            format_seconds(group.criterion_seconds),
        ]
        for group in report.groups
    ]
    return ['group', 'channels', 'asked', 'kept', 'change', 'criterion'], rows


def scheme_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """What the packed file is made of, by what was done to the weights."""
    schemes = list(dict.fromkeys(facts.scheme for facts in report.weights))
    schemes.sort(key=lambda scheme: scheme == '')
    rows = []
    for scheme in schemes:
        chosen = [facts for facts in report.weights if facts.scheme == scheme]
        rows.append([scheme or 'everything else', len(chosen), *_weight_sums(chosen)])
    rows.append(['all tensors', len(report.weights), *_weight_sums(report.weights)])
    if report.compressed.file_bytes is not None:
        index = report.compressed.file_bytes - sum(f.bytes_after for f in report.weights)
        rows.append(['config, names, index', *[''] * 4, format_bytes(index), ''])
    return ['weights', 'tensors', 'elements', 'not zero', 'before', 'in the file', 'bits'], rows


def file_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The paper's table: bytes after each kind of compression."""
    steps = report.file_steps()
    dense = steps[0][1] if steps else 0
    rows = [[words, format_bytes(size), f'{dense / size:.1f}x'] for words, size in steps]
    return ['weights', 'bytes', 'factor'], rows


def weight_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """What became of each changed tensor of the packed file."""
    changed = [facts for facts in report.weights if facts.scheme]
    rows = [[facts.name, facts.scheme, *_weight_sums([facts])] for facts in changed]
    return ['tensor', 'scheme', 'elements', 'not zero', 'before', 'in the file', 'bits'], rows


def _weight_sums(chosen: list[WeightFacts]) -> list[str]:
    elements, nonzero, before, after = (
        sum(getattr(facts, key) for facts in chosen)
        for key in ('weights', 'nonzero', 'bytes_before', 'bytes_after')
    )
    share = f'{nonzero / elements:.1%}' if elements else MISSING
    bits = f'{8 * after / elements:.2f}' if elements else MISSING
    return [format_count(elements), share, format_bytes(before), format_bytes(after), bits]


def target_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """What was asked for and what was reached; only of a report with a target."""
    target = report.target
    named = [('asked', target.asked), ('predicted', target.predicted)]
    if target.measured is not None:
        named.append(('measured then', target.measured))
    named += [('reached', target.reached), ('smallest possible', target.floor)]
    shown = {name: format_metric(share) for name, share in named}
    if target.reached_range is not None:
        shown['reached'] += ' ({:.3f} to {:.3f})'.format(*target.reached_range)
    where = f' in {target.runtime}' if target.runtime else ''
    heads = ['reached, in PyTorch' if where and name == 'reached' else name for name in shown]
    row = [f'{target.cost}{where}, share of {report.before}', *shown.values()]
    return ['target', *heads], [row]


def _latency(facts: DetectorFacts) -> str:
    """Milliseconds, and between which the rounds lay."""
    text = format_ms(facts.latency_ms)
    if facts.latency_range_ms is None:
        return text
    return f'{text} ({facts.latency_range_ms[0]:.1f} to {facts.latency_range_ms[1]:.1f})'


def share_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Share of each loss term in the groups' scores; only where shares were measured."""
    groups = [group for group in report.groups if group.shares]
    terms = list(groups[0].shares)
    rows = [[g.name, *(f'{g.shares.get(term, 0.0):.1%}' for term in terms)] for g in groups]
    return ['group', *terms], rows


def loss_table(report: Report) -> tuple[list[str], list[list[object]]]:
    """Mean of each loss term over the pieces of the training; only where they were kept."""
    terms = loss_terms(report)
    rows = [
        [piece.iteration, *(f'{piece.terms.get(term, 0.0):.4g}' for term in terms)]
        for piece in report.losses
    ]
    return ['to iteration', *terms], rows


def step_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The main metric after each step."""
    key = step_metric(report)
    first = report.steps[0].metrics.get(key)
    rows = []
    for step in report.steps:
        value = step.metrics.get(key)
        rows.append([report.label_of(step), format_metric(value), format_difference(first, value)])
    return ['step', key or 'metric', 'change'], rows


def circumstances(report: Report) -> str:
    """Seed, time, machine and versions in a sentence."""
    machine = report.hardware
    gpus = ', '.join(machine.get('gpus') or []) or 'no GPU'
    packages = ', '.join(f'{name} {v or MISSING}' for name, v in report.versions.items())
    return (
        f'Seed {report.seed}; {format_seconds(report.seconds)} on {machine.get("cpu")}, '
        f'{machine.get("cores")} cores, {machine.get("threads")} threads, {gpus}; {packages}.'
    )
