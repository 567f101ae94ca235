"""The command: photos in, a picture or a list of what is seen in them out.

It is `mmdet-lcp-detect`, and `mmdet-lcp detect` where mmdet_lcp is installed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet_lcp_runtime.detector import Detector
from mmdet_lcp_runtime.engines import ENGINES
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.images import write_image
from mmdet_lcp_runtime.telling import tell


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    program = Path(sys.argv[0]).name
    program = 'mmdet-lcp-detect' if program == '__main__.py' else program
    parser = argparse.ArgumentParser(
        prog=program,
        description='Detect objects in photos with an exported detector.\n\n'
        f'  {program} detector.onnx photo.jpg --out seen.jpg',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('model', metavar='MODEL', help='*.onnx, *.xml, *.ncnn.param, *.mnn, *.tflite or *.rknn')
    add('images', metavar='IMAGE', nargs='+', help='photos')
    add(
        '--out',
        metavar='FILE',
        help='the picture to write, or a folder for pictures',
    )
    add('--json', metavar='FILE', help='write what is found to this file, masks as run lengths')
    add('--score', type=share, default=0.3, help='leave out lower scores; default: %(default)s')
    add('--threads', type=int, help="of the CPU; default: the engine's")
    add('--engine', choices=ENGINES, help="default: by the file's suffix")
    return parser.parse_args(argv)


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text}: scores are from 0 to 1')
    return value


def detect(args: argparse.Namespace) -> None:
    """Write what is asked for, a photo after the other, and say what is found in each."""
    several = len(args.images) > 1
    names = [Path(path).name for path in args.images]
    if several and args.out and len(set(names)) < len(names):
        raise DetectionError(
            f'two photos have the name {max(names, key=names.count)}: their pictures in '
            f'{args.out} would be one file; run them one after the other'
        )
    detector = Detector(args.model, threads=args.threads, engine=args.engine)
    told = {}
    for path in args.images:
        whole = detector(path)
        found = whole.above(args.score)
        told[path] = found.rows()
        if args.out:
            folder = several or Path(args.out).is_dir()
            out = Path(args.out, Path(path).name) if folder else Path(args.out)
            out.parent.mkdir(parents=True, exist_ok=True)
            write_image(out, detector.draw(path, found, args.score))
        hint = ''
        if len(whole) and not len(found):
            hint = f' with {args.score:g} or more; the best has {whole.scores[0]:.3f}: --score'
        tell('\n'.join([f'{path}: {len(found)} found{hint}', *map(line, told[path])]))
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        Path(args.json).write_text(as_json(told), encoding='utf-8')


def as_json(told: dict[str, list[dict[str, Any]]]) -> str:
    """The detections of each photo, a line each: masks have thousands of numbers."""
    photos = []
    for path, rows in told.items():
        lines = ',\n'.join(f'  {json.dumps(row)}' for row in rows)
        photos.append(f' {json.dumps(path)}: ' + (f'[\n{lines}\n ]' if rows else '[]'))
    return '{\n' + ',\n'.join(photos) + '\n}\n'


def line(row: dict[str, Any]) -> str:
    """Of a detection, see `Detections.rows`."""
    box = ', '.join(f'{side:.1f}' for side in row['box'])
    return f'  {row["name"]} {row["score"]:.3f} [{box}]'


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    try:
        detect(parse_args(argv))
        return 0
    except (DetectionError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def run() -> None:
    """The installed command."""
    sys.exit(main())
