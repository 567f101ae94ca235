"""Makes the built-in detection data: handwritten digits on cluttered backgrounds.

Example:
    mmdet-lcp make-digits --out data/digits
    mmdet-lcp make-digits --out data/digits --preview digits.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from mmdet_lcp.datasets.digits import DEFAULT_SIZES, SPLITS, generate_digits
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Make a small detection data set of handwritten digits, in seconds and '
        'without a download (the digits come with scikit-learn). It is written in COCO format: '
        'annotations/{train,val,test}.json and images/{train,val,test}/. configs/_base_/datasets/'
        'digits.py reads it from data/digits. The same options always give the same files; '
        'a folder that already holds them is left as it is, and one that holds anything else is '
        'never overwritten.',
    )
    parser.add_argument(
        '--out', default='data/digits', help='folder to write (default: %(default)s)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed, other images (default: %(default)s)'
    )
    parser.add_argument(
        '--image-size',
        type=int,
        default=160,
        help='side of the square images in pixels, at least 64 (default: %(default)s)',
    )
    for split in SPLITS:
        parser.add_argument(
            f'--{split}',
            type=int,
            default=DEFAULT_SIZES[split],
            help=f'number of {split} images (default: %(default)s)',
        )
    parser.add_argument(
        '--preview',
        metavar='FILE.png',
        help='also write a sheet of training images with their boxes drawn, to look at',
    )
    return parser.parse_args(argv)


def write_preview(root: Path, path: Path, columns: int = 6, rows: int = 4, zoom: int = 2) -> None:
    """Writes a sheet of the first training images with their boxes and classes.

    Args:
        root: A data set made by :func:`generate_digits`.
        path: The picture to write; its suffix gives the format.
        columns: Images side by side.
        rows: Images one above the other.
        zoom: How many times larger than in the data set an image is drawn.

    Raises:
        CompressionError: If the picture cannot be written.
    """
    coco = read_json(root / 'annotations' / 'train.json')
    tiles = []
    for image in coco['images'][: columns * rows]:
        tile = cv2.imread(str(root / 'images' / 'train' / image['file_name']))
        tile = cv2.resize(tile, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
        for ann in coco['annotations']:
            if ann['image_id'] != image['id']:
                continue
            x, y, w, h = (zoom * v for v in ann['bbox'])
            cv2.rectangle(tile, (x - 1, y - 1), (x + w, y + h), (0, 220, 0), 1)
            at = (x, y - 3 if y > 12 else y + h + 12)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(tile, str(ann['category_id']), at, font, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(tile, str(ann['category_id']), at, font, 0.45, (0, 255, 0), 1, cv2.LINE_AA)
        tiles.append(cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT))
    columns = min(columns, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
    try:
        written = path.parent.is_dir() and cv2.imwrite(str(path), sheet)
    except cv2.error:  # a suffix it does not know
        written = False
    if not written:
        raise CompressionError(f'cannot write the picture {path}')


def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns the exit code, 2 for a mistake in what was asked."""
    args = parse_args(argv)
    try:
        data = generate_digits(
            args.out,
            seed=args.seed,
            image_size=args.image_size,
            sizes={split: getattr(args, split) for split in SPLITS},
        )
        print(f'{"wrote" if data.created else "already there:"} {data.root}')
        for split in SPLITS:
            print(f'  {split:<5} {data.images[split]:>6} images {data.boxes[split]:>6} boxes')
        if args.preview:
            write_preview(data.root, Path(args.preview))
            print(f'wrote {args.preview}')
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
