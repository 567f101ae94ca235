"""The tables of docs/device.md: exported files beside mmdet, in each engine; time, memory, sizes.

  PY=tools/dev/device_table.py
  python $PY agree --work W --photos 50 --engines onnxruntime openvino ncnn mnn
  .venv-litert/bin/python $PY agree --work W --photos 50 --engines litert
  python $PY int8 --work W --engines onnxruntime openvino
  python $PY speed --work W
  python $PY start --work W --alone .venv-alone/bin/python
  python $PY page --work W --out docs/device.md

`agree` writes each detector by `mmdet-lcp export`, runs the file with the runtime package on
photos of blood cells, and compares its boxes with those of mmdet's `DetInferencer`, up to ties; of
trained detectors the mAP on the test set, too. `int8` measures what eight bits cost of it, with
which layers left in float. `speed` times image files to boxes, all in turn, and takes the least of
several runs, because other work may be on the machine. `start` times whole processes up to the
first box. Results are kept in W, so that engines may have environments of their own; `page` writes
the tables between the marks of the page.

--trained NAME CONFIG CHECKPOINT names detectors with weights (`dense` and `pruned` are timed). The
others have random weights whose scores are spread.
"""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from device_tables.kept import ENGINES

# Module of `device_tables`; its function has the name of what is asked for.
MODULES = {
    'agree': 'agreement',
    'int8': 'int8',
    'speed': 'speed',
    'start': 'start',
    'page': 'page',
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=MODULES)
    parser.add_argument('--work', type=Path, required=True, help='where results are kept')
    parser.add_argument(
        '--trained', nargs=3, action='append', default=[], metavar=('NAME', 'CONFIG', 'CHECKPOINT')
    )
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=['onnxruntime'])
    parser.add_argument('--only', nargs='+', metavar='NAME', help='of the detectors')
    parser.add_argument('--photos', type=int, default=50)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--alone', metavar='PYTHON', help='with nothing but the runtime package')
    parser.add_argument('--out', type=Path, help='the page')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    args = parse_args(argv)
    module = importlib.import_module(f'device_tables.{MODULES[args.what]}')
    getattr(module, args.what)(args)


if __name__ == '__main__':
    main()
