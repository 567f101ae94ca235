"""The pages of a report: ``report.md``, the tables on the screen, and the pictures beside them."""

import os
from pathlib import Path

from mmdet_lcp.files import write_json, write_text
from mmdet_lcp.measure.metrics import number
from mmdet_lcp.report.report import (
    DETECTIONS_PNG,
    REPORT_JSON,
    REPORT_MD,
    SHARES_PNG,
    STEPS_PNG,
    DetectorFacts,
    Report,
    WeightFacts,
)
from mmdet_lcp.report.share_picture import draw_shares
from mmdet_lcp.report.steps_picture import draw_steps, step_metric
from mmdet_lcp.report.tables import (
    MISSING,
    format_bytes,
    format_change,
    format_count,
    format_difference,
    format_metric,
    format_ms,
    format_seconds,
    markdown_table,
    text_table,
)


def summary_text(report: Report) -> str:
    """Lay out what is printed when a run ends.

    Args:
        report: The run.

    Returns:
        Text in plain ASCII tables: the groups first, and last the table a user wants: dense,
        compressed, change.
    """
    parts = []
    if report.groups:
        parts.append(text_table(*_group_table(report), title='channels'))
    if report.weights:
        parts.append(text_table(*_scheme_table(report), title='weights'))
        parts.append(text_table(*_file_table(report), title='bytes'))
    if report.skipped:
        parts.append(f'{len(report.skipped)} left alone; the reasons are in {REPORT_MD}.')
    if report.target is not None:
        parts.append(text_table(*_target_table(report)))
    title = f'{report.method}, {format_seconds(report.seconds)}'
    parts += report.remarks()
    parts.append(text_table(*_summary_table(report), title=title))
    return '\n\n'.join(parts)


def write_report(report: Report, folder: str | os.PathLike) -> None:
    """Write ``report.json``, ``report.md`` and, where steps were measured, ``steps.png``.

    ``report.md`` shows ``detections.png`` if that file is already in the folder.

    Args:
        report: The run.
        folder: Usually the work_dir; made if it is missing.
    """
    folder = Path(folder)
    write_json(folder / REPORT_JSON, report.to_dict())
    draw_steps(report, folder / STEPS_PNG)
    draw_shares(report, folder / SHARES_PNG)
    write_text(folder / REPORT_MD, report_markdown(report, folder))


def report_markdown(report: Report, folder: str | os.PathLike = '.') -> str:
    """Lay out ``report.md``.

    Args:
        report: The run.
        folder: Where it will lie; pictures that exist there are shown.

    Returns:
        Markdown.
    """
    folder = Path(folder)
    parts = [f'# {report.method}', markdown_table(*_summary_table(report)), *report.remarks()]
    if (folder / DETECTIONS_PNG).exists():
        parts += [
            '## Detections',
            f'![Ground truth, {report.before} and compressed detector on test images]'
            f'({DETECTIONS_PNG})',
        ]
    if report.target is not None:
        parts += ['## Target', markdown_table(*_target_table(report))]
    if report.groups:
        parts += ['## Channels', markdown_table(*_group_table(report))]
    if report.weights:
        parts += ['## Bytes after each step', markdown_table(*_file_table(report))]
        parts += ['## Weights', markdown_table(*_scheme_table(report))]
        parts += ['### Tensor by tensor', markdown_table(*_weight_table(report), words=2)]
    if any(group.shares for group in report.groups):
        parts += ['## Gradient shares', markdown_table(*_share_table(report))]
        if (folder / SHARES_PNG).exists():
            parts.append(f"![Share of each loss term in the groups' scores]({SHARES_PNG})")
    if report.steps:
        parts += ['## Steps', markdown_table(*_step_table(report))]
        if (folder / STEPS_PNG).exists():
            parts.append(f'![The metric after each step]({STEPS_PNG})')
    if report.skipped:
        rows = [[layer.name, layer.reason] for layer in report.skipped]
        parts += ['## Left alone', markdown_table(['layer', 'reason'], rows, words=2)]
    if report.settings:
        rows = [[name, text] for name, text in report.settings.items()]
        parts += ['## Settings', markdown_table(['setting', 'value'], rows, words=2)]
    parts += ['## To repeat it', f'```\n{report.command}\n```', _circumstances(report)]
    return '\n\n'.join(parts) + '\n'


def _summary_table(report: Report) -> tuple[list[str], list[list[str]]]:
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
    header = ['', report.before, 'before retraining', 'compressed', 'change']
    if not pruned:
        header, *rows = [row[:2] + row[3:] for row in (header, *rows)]
    return header, rows


def _group_table(report: Report) -> tuple[list[str], list[list[object]]]:
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


def _scheme_table(report: Report) -> tuple[list[str], list[list[str]]]:
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


def _file_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The paper's table: bytes after each kind of compression."""
    steps = report.file_steps()
    dense = steps[0][1] if steps else 0
    rows = [[words, format_bytes(size), f'{dense / size:.1f}x'] for words, size in steps]
    return ['weights', 'bytes', 'factor'], rows


def _weight_table(report: Report) -> tuple[list[str], list[list[str]]]:
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


def _target_table(report: Report) -> tuple[list[str], list[list[str]]]:
    target = report.target
    named = [('asked', target.asked), ('predicted', target.predicted)]
    if target.measured is not None:
        named.append(('measured then', target.measured))
    named += [('reached', target.reached), ('smallest possible', target.floor)]
    shown = {name: format_metric(share) for name, share in named}
    if target.reached_range is not None:
        shown['reached'] += ' ({:.3f} to {:.3f})'.format(*target.reached_range)
    row = [f'{target.cost}, share of {report.before}', *shown.values()]
    return ['target', *shown], [row]


def _latency(facts: DetectorFacts) -> str:
    """Milliseconds, and between which the rounds lay."""
    text = format_ms(facts.latency_ms)
    if facts.latency_range_ms is None:
        return text
    return f'{text} ({facts.latency_range_ms[0]:.1f} to {facts.latency_range_ms[1]:.1f})'


def _share_table(report: Report) -> tuple[list[str], list[list[str]]]:
    groups = [group for group in report.groups if group.shares]
    terms = list(groups[0].shares)
    rows = [[g.name, *(f'{g.shares.get(term, 0.0):.1%}' for term in terms)] for g in groups]
    return ['group', *terms], rows


def _step_table(report: Report) -> tuple[list[str], list[list[str]]]:
    key = step_metric(report)
    first = report.steps[0].metrics.get(key)
    rows = []
    for step in report.steps:
        value = step.metrics.get(key)
        rows.append([report.label_of(step), format_metric(value), format_difference(first, value)])
    return ['step', key or 'metric', 'change'], rows


def _circumstances(report: Report) -> str:
    machine = report.hardware
    gpus = ', '.join(machine.get('gpus') or []) or 'no GPU'
    packages = ', '.join(f'{name} {v or MISSING}' for name, v in report.versions.items())
    return (
        f'Seed {report.seed}; {format_seconds(report.seconds)} on {machine.get("cpu")}, '
        f'{machine.get("cores")} cores, {machine.get("threads")} threads, {gpus}; {packages}.'
    )
