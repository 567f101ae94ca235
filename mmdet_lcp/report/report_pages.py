"""The pages of a report: ``report.md``, the tables on the screen, and the pictures beside them."""

import os
from pathlib import Path

from mmdet_lcp.files import write_json, write_text
from mmdet_lcp.report.loss_picture import draw_losses
from mmdet_lcp.report.report import (
    DETECTIONS_PNG,
    LOSSES_PNG,
    REPORT_JSON,
    REPORT_MD,
    SHARES_PNG,
    STEPS_PNG,
    Report,
)
from mmdet_lcp.report.run_page import write_run_page
from mmdet_lcp.report.run_tables import (
    circumstances,
    file_table,
    group_table,
    loss_table,
    scheme_table,
    share_table,
    step_table,
    summary_table,
    target_table,
    weight_table,
)
from mmdet_lcp.report.share_picture import draw_shares
from mmdet_lcp.report.steps_picture import draw_steps
from mmdet_lcp.report.tables import (
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
        parts.append(text_table(*group_table(report), title='channels'))
    if report.weights:
        parts.append(text_table(*scheme_table(report), title='weights'))
        parts.append(text_table(*file_table(report), title='bytes'))
    if report.skipped:
        parts.append(f'{len(report.skipped)} left alone; the reasons are in {REPORT_MD}.')
    if report.target is not None:
        parts.append(text_table(*target_table(report)))
    title = f'{report.method}, {format_seconds(report.seconds)}'
    parts += report.remarks()
    parts.append(text_table(*summary_table(report), title=title))
    return '\n\n'.join(parts)


def write_report(report: Report, folder: str | os.PathLike) -> None:
    """Write ``report.json``, ``report.md``, ``report.html`` and, where there are any, pictures.

    ``report.md`` shows ``detections.png`` if that file is already in the folder, and
    ``report.html`` the pictures that `stored_pictures` has written there.

    Args:
        report: The run.
        folder: Usually the work_dir; made if it is missing.
    """
    folder = Path(folder)
    write_json(folder / REPORT_JSON, report.to_dict())
    draw_steps(report, folder / STEPS_PNG)
    draw_shares(report, folder / SHARES_PNG)
    draw_losses(report, folder / LOSSES_PNG)
    write_text(folder / REPORT_MD, report_markdown(report, folder))
    write_run_page(folder)


def report_markdown(report: Report, folder: str | os.PathLike = '.') -> str:
    """Lay out ``report.md``.

    Args:
        report: The run.
        folder: Where it will lie; pictures that exist there are shown.

    Returns:
        Markdown.
    """
    folder = Path(folder)
    parts = [f'# {report.method}', markdown_table(*summary_table(report)), *report.remarks()]
    if (folder / DETECTIONS_PNG).exists():
        parts += [
            '## Detections',
            f'![Ground truth, {report.before} and {report.after} detector on test images]'
            f'({DETECTIONS_PNG})',
        ]
    if report.target is not None:
        parts += ['## Target', markdown_table(*target_table(report))]
    if report.groups:
        parts += ['## Channels', markdown_table(*group_table(report))]
    if report.weights:
        parts += ['## Bytes after each step', markdown_table(*file_table(report))]
        parts += ['## Weights', markdown_table(*scheme_table(report))]
        parts += ['### Tensor by tensor', markdown_table(*weight_table(report), words=2)]
    if any(group.shares for group in report.groups):
        parts += ['## Gradient shares', markdown_table(*share_table(report))]
        if (folder / SHARES_PNG).exists():
            parts.append(f"![Share of each loss term in the groups' scores]({SHARES_PNG})")
    if report.steps:
        parts += ['## Steps', markdown_table(*step_table(report))]
        if (folder / STEPS_PNG).exists():
            parts.append(f'![The metric after each step]({STEPS_PNG})')
    if report.losses:
        parts += ['## Losses', markdown_table(*loss_table(report))]
        if (folder / LOSSES_PNG).exists():
            parts.append(f'![Share of each term in the loss]({LOSSES_PNG})')
    if report.skipped:
        rows = [[layer.name, layer.reason] for layer in report.skipped]
        parts += ['## Left alone', markdown_table(['layer', 'reason'], rows, words=2)]
    if report.settings:
        rows = [[name, text] for name, text in report.settings.items()]
        parts += ['## Settings', markdown_table(['setting', 'value'], rows, words=2)]
    parts += ['## To repeat it', f'```\n{report.command}\n```', circumstances(report)]
    return '\n\n'.join(parts) + '\n'
