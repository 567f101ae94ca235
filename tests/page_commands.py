"""The commands of the pages, as a shell makes them: loops, variables and wildcards are its own.

Each block of a page is run by bash in a folder where nothing can happen: every program in it is
a stand-in that writes down what it was called with.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    *sorted((ROOT / 'docs').rglob('*.md')),
    *sorted((ROOT / 'configs').rglob('README.md')),
]
# Where mmdet lies, as far as the pages' `python -c` says.
MMDET = 'MMDET'
PROGRAMS = (
    *('mmdet-lcp', 'mmdet-lcp-detect', 'mmdet-lcp-rknn'),
    *('python', 'pip', 'make', 'torchrun', 'sudo'),
    *('tools/dist_train.sh', 'tools/slurm_train.sh'),
)
_STAND_IN = """#!/bin/sh
{{ printf '%s\\037' "{name}" "$@"; printf '\\036'; }} >> "$CALLS"
case "$1" in -c) echo {mmdet};; esac
"""


@dataclass(frozen=True)
class PageCommand:
    """A command, every word expanded.

    Attributes:
        page: below the repository.
        words: program and arguments.
    """

    page: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The tool: ``'train'``; of another program its file or its first words."""
        program, *rest = self.words
        if program == 'mmdet-lcp':
            return rest[0]
        if program == 'python' and rest[0].startswith('tools/') and rest[0].count('/') == 1:
            return Path(rest[0]).stem.replace('_', '-')
        if program in ('mmdet-lcp-detect', 'mmdet-lcp-rknn'):
            return program.removeprefix('mmdet-lcp-')
        return ' '.join([program, *rest[:1]]) if program in ('python', 'make') else program

    @property
    def arguments(self) -> list[str]:
        """What the tool is given."""
        named = self.words[0] in ('mmdet-lcp', 'python')
        return list(self.words[2 if named else 1 :])

    @property
    def options(self) -> frozenset[str]:
        """Names of the options."""
        return frozenset(w.partition('=')[0] for w in self.arguments if w.startswith('--'))


def commands_of(text: str, page: str, folder: Path) -> list[PageCommand]:
    """Run a block of a page; returns what it calls, in order.

    Args:
        text: the block.
        page: its name.
        folder: to run in, as `sandbox` has made it.

    Raises:
        AssertionError: bash refuses it, or it calls a program that is not known.
    """
    calls = folder / 'calls'
    calls.write_text('')
    path = f'{folder / "bin"}:/usr/bin:/bin'
    environment = {'PATH': path, 'CALLS': str(calls)}
    done = subprocess.run(
        ['bash', '-eu', '-c', f'shopt -s failglob\nmore= SEEDS=\n{text}'],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f'{page}: {done.stderr}\n{text}'
    found = [call.split('\037')[:-1] for call in calls.read_text().split('\036')[:-1]]
    return [PageCommand(page, tuple(words)) for words in found]


def sandbox(folder: Path, files: Sequence[str] = ()) -> Path:
    """A folder with stand-ins of all programs, the configs, and empty files that pages name."""
    for name in PROGRAMS:
        program = folder / (name if '/' in name else f'bin/{name}')
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(_STAND_IN.format(name=name, mmdet=MMDET))
        program.chmod(0o755)
    (folder / 'configs').symlink_to(ROOT / 'configs')
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def blocks() -> list[tuple[str, str]]:
    """Page and text of each block of bash."""
    found = []
    for page in PAGES:
        pattern = r'^( *)```(?:bash|sh|shell|console)\n(.*?)^ *```$'
        for indent, text in re.findall(pattern, page.read_text(), re.M | re.S):
            lines = [line.removeprefix(indent) for line in text.splitlines()]
            found.append((str(page.relative_to(ROOT)), '\n'.join(lines)))
    return found


def all_commands(folder: Path, files: Sequence[str]) -> list[PageCommand]:
    """Every command of every page once, runs that differ in seed and folder taken for one."""
    assert shutil.which('bash', path=os.defpath), 'bash runs the blocks of the pages'
    sandbox(folder, files)
    for page in PAGES:  # what a page tells to save, by the name in its first line
        for name, text in re.findall(
            r'^```python\n# (\w+\.py)\n(.*?)^```$', page.read_text(), re.M | re.S
        ):
            (folder / name).write_text(text)
    found = {}
    for page, text in blocks():
        for command in commands_of(text, page, folder):
            found.setdefault((page, alike(command.words)), command)
    return list(found.values())


def alike(words: Sequence[str]) -> tuple[str, ...]:
    """Words without the seed and the name of the folder that is written."""
    kept, skipped = [], False
    for word in words:
        if not skipped and word not in ('--seed', '--seeds', '--work-dir', '--out'):
            kept.append(word)
        skipped = word in ('--seed', '--work-dir', '--out')
    return tuple(kept)
