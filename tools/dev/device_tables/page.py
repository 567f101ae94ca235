"""The tables in Markdown, and the page that they are written into."""

import argparse
import os
from pathlib import Path
from typing import Any

import marked_page
from device_tables.kept import ENGINES, read
from device_tables.speed import TIMED_PHOTOS
from mmdet_lcp.export.cpu import integer_instructions


def processor() -> str:
    """Its name, what it has for eight bits, and how many cores of it there are."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next((line.partition(': ')[2] for line in lines if line.startswith('model name')), '?')
    return f'{name} {integer_instructions()}, {os.cpu_count()} cores'


def cell_text(cell: dict[str, Any] | None, dense: float | None) -> str:
    """What one engine did with one detector."""
    if cell is None:
        return 'not run'
    if 'refused' in cell:
        return f'no: {cell["refused"][:160]}'
    text = f'{cell["box"]:.0e} / {cell["score"]:.0e}'
    text += f', masks {1 - cell["mask"]:.3f}' if cell.get('mask') else ''
    alone = [f'{cell[key]} {key}' for key in ('ties', 'others') if cell[key]]
    text += f' ({", ".join(alone)} beside {cell["pairs"]})' if alone else ''
    if dense is not None and cell.get('map') is not None:
        text += f'; mAP {_change(cell["map"], dense)}'
        if cell.get('int8_map') is not None:
            text += f', int8 {_change(cell["int8_map"], dense)}'
    return text


def _change(value: float, dense: float) -> str:
    return f'{value - dense:+.4f}'.replace('-0.0000', '+0.0000')


def agree_table(found: dict[str, Any]) -> str:
    """In Markdown, with what it was run on."""
    engines = [key for key in ENGINES if any(key in row['engines'] for row in found.values())]
    cells = [cell for row in found.values() for cell in row['engines'].values()]
    versions = {
        key: next(
            row['engines'][key]['version'] for row in found.values() if key in row['engines']
        )
        for key in engines
    }
    lines = [
        '| | ' + ' | '.join(f'{ENGINES[key][0]} {versions[key]}' for key in engines) + ' |',
        '|' + ' :-- |' * (len(engines) + 1),
    ]
    for name, row in sorted(found.items(), key=lambda item: (item[1].get('map') is None, item[0])):
        dense = row.get('map')
        title = name + (f', mAP {dense:.4f}' if dense is not None else ', random weights')
        texts = [cell_text(row['engines'].get(key), dense) for key in engines]
        lines.append(f'| {title} | ' + ' | '.join(texts) + ' |')
    photos = sorted({cell['photos'] for cell in cells if 'photos' in cell})
    dates = sorted({cell['date'] for cell in cells})
    lines += ['', f'{_span(photos)} photos, {_span(dates)}, {processor()}.']
    return '\n'.join(lines)


def _span(values: list) -> str:
    return str(values[0]) if len(values) == 1 else f'{values[0]} to {values[-1]}'


def int8_table(found: dict[str, Any]) -> str:
    """In Markdown: a row a detector and engine, a column a way."""
    lines = ['| | all layers | `--keep heads` | `--keep auto` |', '| :-- |' + ' :-- |' * 3]
    cells = []
    for name, engines in found.items():
        for engine, row in engines.items():
            texts = []
            for way in ('none', 'heads', 'auto'):
                cell = row.get(way)
                if cell is None:
                    texts.append('')
                    continue
                cells.append(cell)
                if 'refused' in cell:
                    texts.append(f'no: {cell["refused"][:160]}')
                    continue
                kept = f', {cell["kept"]} in float' if cell['kept'] else ''
                change = _change(cell['map'], cell['dense_map'])
                texts.append(f'{change}, {cell["bytes"] / 1e6:.2f} MB{kept}')
            lines.append(f'| {name}, {ENGINES[engine][0]} | ' + ' | '.join(texts) + ' |')
    dates = sorted({cell['date'] for cell in cells if 'date' in cell})
    return '\n'.join([*lines, '', f'{_span(dates)}, {processor()}.'])


def speed_table(found: dict[str, Any]) -> str:
    """In Markdown."""
    lines = [
        '| | CPU ms, 1 thread | clock ms | CPU ms, 2 threads | clock ms | peak MB | size, MB |',
        '| :-- | --: | --: | --: | --: | --: | --: |',
    ]
    for name, row in found['rows'].items():
        times = [row[threads][key] for threads in ('1', '2') for key in ('cpu_ms', 'clock_ms')]
        numbers = [*(f'{each:.1f}' for each in times), f'{row["peak_mb"]:.0f}']
        lines.append(f'| {name} | ' + ' | '.join([*numbers, f'{row["bytes"] / 1e6:.2f}']) + ' |')
    how = f'Mean of {TIMED_PHOTOS} photos, of each the least of {found["rounds"]} runs'
    return '\n'.join([*lines, '', f'{how}; {found["date"]}, {processor()}.'])


def start_text(found: dict[str, Any]) -> str:
    """A sentence."""
    one, other = found['mmdet'], found['runtime']
    return (
        f'From the start of Python to the first box ({found["detector"]}, least of '
        f'{found["runs"]}): {other["clock_s"]:.2f} s with the runtime alone, '
        f'{one["clock_s"]:.1f} s with `init_detector`, {one["clock_s"] / other["clock_s"]:.0f} '
        f'times as long; of the processor {other["cpu_s"]:.2f} s and {one["cpu_s"]:.1f} s, '
        f'{one["cpu_s"] / other["cpu_s"]:.0f} times.'
    )


TABLES = {'agree': agree_table, 'int8': int8_table, 'speed': speed_table, 'start': start_text}


def page(args: argparse.Namespace) -> None:
    """Write what was measured into the page."""
    for name, write in TABLES.items():
        found = read(args.work, name)
        if found:
            marked_page.replace(args.out, name, write(found))
