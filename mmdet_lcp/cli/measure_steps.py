"""Measure which numbers of channels a runtime is fast at, on this machine or on another device.

The table that it writes decides what `pruning.channel_divisor='auto'` means where a config says
`pruning.step_table='steps.json'`. Without one, the package's table for `pruning.runtime` is taken,
if there is one of this processor or of the same vector units.

  mmdet-lcp measure-steps --runtime onnxruntime --out steps.json      # a minute or two

  # on a board that has NumPy and the engine alone
  mmdet-lcp measure-steps --runtime ncnn --kit KIT                    # here
  python measure.py --threads 1                                       # there, in the folder KIT
  mmdet-lcp measure-steps --times KIT/times.json --out steps.json     # here again
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp import CompressionError
from mmdet_lcp.export.layer_kit.run import read_times
from mmdet_lcp.export.layer_kit.steps import measure_steps, steps_of, write_steps_kit
from mmdet_lcp.measure.runtimes import RUNTIMES
from mmdet_lcp.measure.step_table import AXES, KINDS, StepTable
from mmdet_lcp.report.tables import text_table

WORDS = {
    '1x1': '1x1',
    'spatial': '3x3',
    'strided': '3x3, stride 2',
    'depthwise': 'depth-wise',
    'grouped': '3x3, grouped',
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--runtime', choices=RUNTIMES, help='which runtime; its engine and converter are needed')
    add('--threads', type=int, default=1, help='of the CPU (default: 1)')
    add('--quick', action='store_true', help='at one size instead of two')
    add('--kit', metavar='DIR', help='write the files for another device, and measure nothing')
    add('--times', metavar='JSON', help='read what the device has told, and measure nothing')
    add('--out', metavar='JSON', help='the table')
    args = parser.parse_args(argv)
    if args.threads < 1:
        parser.error(f'--threads {args.threads}: at least 1')
    if (args.runtime is None) == (args.times is None):
        parser.error('give --runtime, or --times of a device')
    if args.kit is not None and (args.times is not None or args.out is not None):
        parser.error('--kit writes files and no table: leave --times and --out out')
    if args.kit is None and args.out is None:
        parser.error('give --out, the file of the table, or --kit')
    return args


def shown(table: StepTable) -> str:
    """The steps for people, and where a number of channels costs most."""
    rows = []
    for kind in KINDS:
        for axis in AXES:
            curves = table.of(kind, axis)
            if curves and not (kind in ('depthwise', 'grouped') and axis == AXES[1]):
                sound, fast = table.steps(kind, axis)
                odd = [ms for curve in curves for n, ms in curve.dearer().items() if n % 2]
                which = 'both' if kind in ('depthwise', 'grouped') else axis.split('_')[0]
                rows.append([WORDS[kind], which, str(sound), str(fast), f'{max(odd):.2f}'])
    heads = ['layer', 'channels', 'never slower', 'fast', 'odd numbers take up to']
    about = f'{table.runtime} {table.engine_version}, {table.processor}, {table.threads} threads'
    return f'{about}\n{text_table(heads, rows)}'


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    try:
        if args.kit is not None:
            kit = write_steps_kit(Path(args.kit), args.runtime, args.quick)
            print(f'written: {kit}; copy it to the device and run `python measure.py` in it')
            return 0
        if args.times is not None:
            table = steps_of(read_times(Path(args.times)))
        else:
            table = measure_steps(args.runtime, args.threads, args.quick)
        table.write(Path(args.out))
        print(shown(table))
        print(f"written: {args.out}; pruning = dict(step_table='{args.out}')")
        return 0
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
