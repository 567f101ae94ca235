"""What Rockchip's toolkit says, kept in a file: hundreds of lines a run, some of them needed."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def kept_in(path: Path) -> Iterator[None]:
    """All that this process prints meanwhile, its compiled parts included, goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    own = [os.dup(1), os.dup(2)]
    with open(path, 'a', encoding='utf-8', buffering=1) as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            # in a notebook Python's own streams are others than 1 and 2
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            for number, old in enumerate(own, 1):
                os.dup2(old, number)
                os.close(old)


def last(path: Path, number: int = 3) -> str:
    """The last error, else the last lines, without colours, progress bars and versions."""
    noise = ('%|', 'WARN(', 'toolkit2 version', 'Warning', 'RKNNBase(')
    lines = [line for line in _lines(path) if line and not any(word in line for word in noise)]
    errors = [line for line in lines if re.match(r'\w*Error: |E (?!.*Traceback)', line)]
    return errors[-1] if errors else ' / '.join(lines[-number:])


def lacking(path: Path) -> list[str]:
    """Kinds of operators that the toolkit could only keep as the user's own.

    It builds a file with them, which the board then refuses.
    """
    found = re.findall(r'No lowering found for: .*?, node type = (\w+)', '\n'.join(_lines(path)))
    return sorted(set(found))


def cycles(path: Path) -> int | None:
    """Cycles of the NPU for an image, as the toolkit's compiler counts them; None: not told.

    Of each layer the larger of computing and of moving data (its table's ``Total``).
    """
    row = r'\] \d+ +\S+ +\S+ +NPU .* \d+/\d+/(\d+) '
    found = [re.search(row, line) for line in _lines(path)]
    counts = [int(each[1]) for each in found if each]
    return sum(counts) if counts else None


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding='utf-8', errors='replace')
    return [re.sub(r'\x1b\[[\d;]*m', '', line).strip() for line in re.split('[\r\n]', text)]
