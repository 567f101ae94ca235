"""The command ``mmdet-lcp``: it knows what tools there are, and imports the one that is asked for.

PyTorch and mmdet take seconds to import, so that a list of commands does without them.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdet_lcp_start.threads import let_waiting_threads_sleep

PROGRAM = 'mmdet-lcp'
PACKAGE = 'mmdet_lcp'
TOOLS = f'{PACKAGE}.cli'
RUNTIME = 'mmdet_lcp_runtime'  # needs neither PyTorch nor mmdet


@dataclass(frozen=True)
class Command:
    """A tool.

    Attributes:
        name: as it is typed.
        summary: what it does, in a line.
        module: the module of `package` whose ``main()`` it is; the name unless told.
        package: that the module is in.
    """

    name: str
    summary: str
    module: str = ''
    package: str = TOOLS

    @property
    def module_name(self) -> str:
        """The module of `package`."""
        return self.module or self.name.replace('-', '_')

    def run(self) -> int:
        """Run it with the arguments in ``sys.argv``; returns the exit status."""
        let_waiting_threads_sleep()
        try:
            tool = importlib.import_module(f'{self.package}.{self.module_name}')
        except ImportError as error:
            if not str(error).startswith(f'{PACKAGE} needs '):
                raise
            print(f'error: {error}', file=sys.stderr)
            return 1
        return tool.main()


COMMANDS = (
    Command('train', 'train, prune, compress or retrain: what the config says'),
    Command(
        'support', 'try out whether a detector of yours can be pruned, and how', 'support_table'
    ),
    Command('sensitivity', 'measure what the pruning of each group of channels costs'),
    Command('measure-steps', 'measure which numbers of channels a runtime is fast at'),
    Command('latency-kit', "write a detector's layers as files that a device measures"),
    Command('compare', 'run several pruning methods at one budget, and write one table'),
    Command('compare-students', 'train several students over several seeds, and write one table'),
    Command('merge-comparisons', 'put several comparisons into one table'),
    Command('tabulate-runs', 'put the reports of several runs into one table'),
    Command('report', 'write the page of a run, a chain or a comparison, ended or not'),
    Command('export', 'write a detector as one file from photos to boxes, in int8 too'),
    Command('detect', 'find objects in photos with such a file', 'command', RUNTIME),
    Command('pack', 'put a detector into one small file, and take it out again'),
    Command('make-digits', 'make the built-in data: handwritten digits'),
)
EXAMPLES = f"""\
from a trained detector to a small one:
  {PROGRAM} support --detectors my_detector.py     # can it be pruned?
  {PROGRAM} train my_detector_pruned.py            # prune and retrain; --resume goes on
  DIR=work_dirs/my_detector_pruned                 # stay: data is looked for from here
  {PROGRAM} export $DIR/pruned_config.py $DIR/pruned.pth --out small.onnx --int8
  {PROGRAM} detect small.onnx photo.jpg --out seen.jpg
  {PROGRAM} pack pack $DIR/pruned_config.py $DIR/pruned.pth small.lcp

where my_detector_pruned.py reads
  _base_ = ['my_detector.py', 'mmdet_lcp::_base_/pruning/lcp_exact.py']
  load_from = 'my_detector.pth'
  pruning = dict(target=dict(macs=0.5))   # half of the multiply-accumulates go

A config is a file, or one of the package by name: {PROGRAM} train mmdet_lcp::lcp/demo.py
On several GPUs: torchrun --nproc-per-node 8 -m mmdet_lcp train CONFIG --launcher pytorch"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the command line names.

    Args:
        argv: the command line without the program; this process's unless given. ``sys.argv``
            becomes that of the command, as if it were a program of its own.

    Returns:
        The exit status: 2 if there is no such command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help', 'help'):
        print(help_text())
        return 0
    if words[0] in ('-V', '--version'):
        print(f'{PROGRAM} {version()}')
        return 0
    command = find(words[0])
    if command is None:
        print(f'error: {unknown(words[0])}', file=sys.stderr)
        return 2
    sys.argv = [f'{PROGRAM} {command.name}', *words[1:]]
    return command.run()


def run_tool(name: str) -> int:
    """Run a command with the arguments in ``sys.argv``: what the scripts in `tools/` do."""
    return find(name).run()


def find(name: str) -> Command | None:
    """The command of that name, with dashes or underscores."""
    dashed = name.replace('_', '-')
    return next((command for command in COMMANDS if command.name == dashed), None)


def unknown(name: str) -> str:
    """What to say of a name that no command has."""
    names = [command.name for command in COMMANDS]
    near = difflib.get_close_matches(name.replace('_', '-'), names, 1, 0.4)
    hint = f'did you mean `{near[0]}`?' if near else f'there are {", ".join(names)}'
    return f'`{PROGRAM} {name}`: there is no such command; {hint}'


def help_text() -> str:
    """All commands, and how to begin."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f'  {command.name:{width}}  {command.summary}' for command in COMMANDS]
    return '\n'.join(
        [
            f'usage: {PROGRAM} COMMAND ...',
            '',
            'Make an MMDetection detector small and fast by inheriting one config.',
            '',
            'commands:',
            *lines,
            '',
            f'{PROGRAM} COMMAND --help tells what a command takes, {PROGRAM} --version the '
            'release.',
            '',
            EXAMPLES,
        ]
    )


def version() -> str:
    """The package's version, read from its file: importing it takes seconds."""
    source = Path(__file__).resolve().parents[1] / 'mmdet_lcp' / 'version.py'
    return re.search(r"__version__ = '(.+)'", source.read_text(encoding='utf-8'))[1]
