"""The page: what was done to runs, and what became of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fault_runs.killing import Kill
from fault_runs.once import Fault

HEAD = """# What happens to a run that is disturbed

A run may be killed at any moment and goes on with `--resume`: to the same plan and the same
weights, bit by bit, as one that nobody disturbs. What is on disk is whole at every moment; a file
is written beside its place and renamed when it is complete, and what a killed process leaves of
that is removed when the run goes on.

- **SIGTERM** (a batch system, `kill`) ends a command with a line on stderr and exit status 143,
  Ctrl-C with 130. Nothing is saved at that moment: the state on disk is that of the last complete
  epoch (pruning, weight compression) or checkpoint (mimic), and is enough. Before a command has
  imported its packages, SIGTERM ends it without a line, with the same status for the shell.
- **A full disk**, **a data worker that dies**, **an image that cannot be read**, **a loss of nan**
  end a run with a line that names the file, the process or the layer, and exit status 1.
- Some decoders fill what is missing of a JPEG with grey and report no error (OpenCV 5.0 refuses it
  in `imdecode`, which mmcv calls, and fills it in `imread`): such an image is not noticed.
- A process that compares runs and is killed by SIGKILL cannot end the run that it has started; the
  same command says so, and goes on when that run has ended.
"""


def faults_page(facts: Mapping[str, Any], kills: Sequence[Kill], once: Sequence[Fault]) -> str:
    """The whole page in Markdown.

    Args:
        facts: of the machine and the command.
        kills: what was killed.
        once: what was broken.
    """
    versions = ', '.join(f'{name} {number}' for name, number in facts['versions'].items())
    made = (
        f'Made on {facts["date"]} by `{facts["command"]}` in {facts["seconds"] / 60:.0f} minutes, '
        f'on a busy machine of two cores; Python {facts["python"]}, {versions}.'
    )
    right = sum(k.weights and k.plan is not False for k in kills)
    whole = sum(not k.half_written for k in kills)
    lines = [
        HEAD,
        '## Killed',
        '',
        made,
        '',
        f'{len(kills)} kills; {right} runs came to the same plan and weights, {whole} left no '
        'file half-written. Moments are counted from the first line of the log; beside them is '
        'when the run that nobody disturbed had its last result. 137 and 143 are what a shell '
        'shows for a process that the signal has ended.',
        '',
        '| run | moment | where it was | signal | exit status | half-written files | same plan '
        '| same weights |',
        '|---|---:|---|---|---:|---|---|---|',
        *(_kill_row(kill) for kill in kills),
        '',
        '## Broken',
        '',
        'Done to a run of two groups with long fine-tuning; then undone, and resumed.',
        '',
        '| fault | exit status | what is told | half-written files | resumed: the same plan and '
        'weights |',
        '|---|---:|---|---|---|',
        *(_fault_row(fault) for fault in once),
        '',
    ]
    return '\n'.join(lines)


def _kill_row(kill: Kill) -> str:
    cells = [
        kill.kind,
        f'{kill.at:.1f} of {kill.seconds:.1f} s',
        _plain(kill.line, 70),
        kill.signal,
        str(kill.code if kill.code >= 0 else 128 - kill.code),
        ', '.join(kill.half_written) or 'none',
        {None: 'no plan', True: 'yes', False: '**no**'}[kill.plan],
        'yes' if kill.weights else '**no**',
    ]
    return f'| {" | ".join(cells)} |'


def _fault_row(fault: Fault) -> str:
    cells = [
        fault.name,
        str(fault.code),
        _plain(fault.said, 400),
        ', '.join(fault.left) or 'none',
        'yes' if fault.same else f'**no** (exit status {fault.resumed})',
    ]
    return f'| {" | ".join(cells)} |'


def _plain(text: str, most: int) -> str:
    """A line for a table: without folders, and not too long."""
    text = re.sub(r'/\S*/', '', ' '.join(text.split())).replace('|', '/')
    return text if len(text) <= most else f'{text[: most - 4]} ...'
