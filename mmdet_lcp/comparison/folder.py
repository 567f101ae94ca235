"""The folder of a comparison: whose it is, and that nobody else writes to it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdet_lcp.comparison.cells import Cell
from mmdet_lcp.comparison.plan import ComparisonPlan
from mmdet_lcp.comparison.results.comparison import CELL_JSON, COMPARISON_JSON
from mmdet_lcp.comparison.results.intervals import DENSE
from mmdet_lcp.config.fingerprint import changes, listed
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json
from mmdet_lcp.nearest import nearest_hint

try:
    import fcntl
except ImportError:  # no locks on this system
    fcntl = None

LOCK = '.lock'


def check_folder(plan: ComparisonPlan, out: Path) -> None:
    """Check that what lies in a folder belongs to a plan.

    Raises:
        CompressionError: cells that have begun there had another config; the folder is named.
    """
    known = _read(out / COMPARISON_JSON).get('shared')
    if known and (found := changes(known, plan.shared)):  # students have nothing in common
        raise CompressionError(
            f'{out} holds a comparison with another config:{listed(found)}'
            'Its numbers could not be compared. Choose another --out, or delete the folder.'
        )
    _check_reference(plan, out)
    for cell in plan.cells:
        folder = cell.folder(out)
        known = _read(folder / CELL_JSON).get('fingerprint')
        if known is None or cell.same_as or not cell.has_begun(out):
            continue
        if found := changes(known, cell.fingerprint):
            raise CompressionError(
                f'{folder} holds a run with another config:{listed(found)}'
                'Choose another --out, or delete that folder to run the cell anew.'
            )


def _check_reference(plan: ComparisonPlan, out: Path) -> None:
    known = [*plan.methods, *_read(out / COMPARISON_JSON).get('methods', []), DENSE]
    if plan.against and plan.against not in known:
        raise CompressionError(
            f'--against {plan.against}: the comparison has no such method'
            f'{nearest_hint(plan.against, known)}. It has {", ".join(dict.fromkeys(known))}'
        )


def describe(plan: ComparisonPlan, out: Path, command: str) -> None:
    """Write down what the folder is about; methods of earlier calls stay."""
    earlier = _read(out / COMPARISON_JSON)
    methods = earlier.get('methods', [])
    methods += [name for name in plan.methods if name not in methods]
    against = plan.against or earlier.get('against', '')
    about = dict(
        config=plan.config,
        command=command,
        methods=methods,
        shared=plan.shared,
        against=against,
    )
    write_json(out / COMPARISON_JSON, about)
    for cell in plan.cells:
        write_cell(cell, out)


def write_cell(cell: Cell, out: Path) -> None:
    """Write who a cell is, unless it is known."""
    path = cell.folder(out) / CELL_JSON
    if _read(path) != cell.facts():
        write_json(path, cell.facts())


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep the folder for this process and its children, for as long as one of them lives.

    Raises:
        CompressionError: somebody else has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open('w') as file:
        if fcntl is not None:
            os.set_inheritable(file.fileno(), True)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CompressionError(
                    f'{out} is being written by another comparison, or by a run that one left '
                    'behind when it was killed: wait until it ends, or end it.'
                ) from error
        yield


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return dict(read_json(path))
    except (CompressionError, TypeError, ValueError) as error:
        raise CompressionError(f'{path} is damaged: {error}. Delete it.') from error
