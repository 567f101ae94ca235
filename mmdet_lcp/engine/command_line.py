"""The command that started this process, as one types it to run the same again."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from mmdet_lcp_start.commands import PACKAGE, PROGRAM


def command_line() -> str:
    """The command that repeats this run from its beginning, ready for a shell.

    Several ranks are started by torchrun, srun or mpirun again, and a resumed run is not resumed.
    Empty if no tool started this process.
    """
    program, *arguments = sys.argv
    arguments = from_the_beginning(arguments)
    starter = launcher(arguments, os.environ)
    if program.startswith(f'{PROGRAM} '):  # the command and its name in one word
        alone = starter == ['python']
        words = [] if alone else [*starter, '-m', PACKAGE]
        words += program.split() if alone else program.split()[1:]
        return shlex.join([*words, *arguments])
    if not program.endswith('.py'):
        return ''
    return shlex.join([*starter, program, *arguments])


def from_the_beginning(arguments: Sequence[str]) -> list[str]:
    """Arguments without those that resume a run, or that a launcher has added."""
    left_out = ('--resume=', 'resume=', '--local-rank=', '--local_rank=')
    kept = [a for a in arguments if a != '--resume' and not a.startswith(left_out)]
    return [
        word
        for word, following in zip(kept, [*kept[1:], '--'], strict=False)
        if word != '--cfg-options' or not following.startswith('--')
    ]


def launcher(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """What starts as many ranks as there are: ``['python']`` for one.

    Args:
        arguments: of the program; ``--launcher`` says who started the ranks.
        environment: of this process.
    """
    text = ' '.join(arguments).replace('--launcher=', '--launcher ')
    kind = text.partition('--launcher ')[2].partition(' ')[0]
    if kind == 'slurm' and environment.get('SLURM_NTASKS'):
        return ['srun', f'--ntasks={environment["SLURM_NTASKS"]}', 'python']
    if kind == 'mpi' and environment.get('OMPI_COMM_WORLD_SIZE'):
        return ['mpirun', '-n', environment['OMPI_COMM_WORLD_SIZE'], 'python']
    ranks = int(environment.get('WORLD_SIZE') or 1)
    if ranks == 1:
        return ['python']
    here = int(environment.get('LOCAL_WORLD_SIZE') or ranks)
    nodes = [] if here == ranks else [f'--nnodes={-(-ranks // here)}']
    return ['torchrun', *nodes, f'--nproc-per-node={here}']
