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

Where files are damaged, or made on purpose, see [below](#hostile-and-broken-files).
"""


FILES = """## Hostile and broken files

Everything that is read comes through one door: checkpoints without running code from them, and
with their checksums compared (PyTorch writes them and does not look at them); JSON with its keys
and types checked; the packed file with every size checked before memory is taken. mmengine's own
readers (`load_from`, `resume`, `Pretrained`, addresses) take the same door, on onedl-mmengine
too, which would else read again without the check what the check has refused. (What is fetched
from ceph or pavi is read by PyTorch's own default: with the check since release 2.6.)

`python tools/dev/fuzz.py --inputs 3000`, 21000 inputs in all: of each input there has to come a
result or an error in words, in 5 seconds, without another file, and of a packed file in 1024
times its bytes of memory and one MiB at most; changed bytes behind a checksum have to be
refused.

| what is fuzzed | inputs | refused | accepted |
|---|---:|---:|---:|
| packed file: bytes | 3000 | 2968 (the others are as they were) | 0 |
| packed file: records, with right checksums | 3000 | 2211 | 789 |
| packed file: data, with right checksums | 3000 | 2747 | 253 |
| checkpoint: bytes | 3000 | 2879 | 121, with the same weights |
| plan, and what applies it to a network | 3000 | 2268 | 732 |
| keys of pruning, weight compression and mimic | 3000 | 1501 | 1499 |
| reports, chain reports, sensitivities, ratios, latencies | 3000 | 2537 | 463 |

What it has found, and what is mended: a flipped bit in a checkpoint was read as another weight;
a plan that names 2^40 channels took all memory of the machine; `Infinity` for a number of
channels, a report with words for numbers or with a range of one number, and a sensitivity of a
detector whose loss was no number ended in a traceback.
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
        FILES.rstrip(),
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
