"""The command that started this process."""

import shlex
import sys

from mmdet_lcp_start.commands import PROGRAM


def command_line() -> str:
    """The command that started this process, ready for a shell; empty if no tool did."""
    program, *words = sys.argv
    if program.startswith(f'{PROGRAM} '):  # the command and its name in one word
        return f'{program} {shlex.join(words)}'.rstrip()
    return shlex.join(['python', program, *words]) if program.endswith('.py') else ''
