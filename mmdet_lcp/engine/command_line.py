"""The command that started this process."""

import shlex
import sys


def command_line() -> str:
    """The command that started this process, ready for a shell."""
    return shlex.join(['python', *sys.argv]) if sys.argv[0].endswith('.py') else ''
