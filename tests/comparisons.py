"""What the tests of the tools that compare runs have in common."""

import csv
import importlib
from pathlib import Path
from types import ModuleType

from processes import Script

ROOT = Path(__file__).parents[1]


class Forked:
    """A child that a server with PyTorch in it forks: sooner there than a new process."""

    def __init__(self, command, log, env) -> None:
        self.script = Script(Path(command[1]), command[2:], log.parent / 'prints', dict(env))
        self.log = log

    def poll(self) -> int | None:
        status = self.script.process.exitcode
        if status is not None:
            self.log.write_text(self.script.out + self.script.err)
        return status

    def terminate(self) -> None:
        self.script.process.terminate()

    def kill(self) -> None:
        self.script.process.kill()


def not_started(*_):
    """Stands for a start where nothing may be run."""
    raise AssertionError('a run was started')


def load_tool(name: str) -> ModuleType:
    """The tool of that name, a module of `mmdet_lcp.cli`."""
    return importlib.import_module(f'mmdet_lcp.cli.{name}')


def table_rows(out: Path) -> list[dict[str, str]]:
    """The rows of a comparison's table.csv."""
    with (out / 'table.csv').open() as file:
        return list(csv.DictReader(file))
