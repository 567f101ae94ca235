"""The command ``mmdet-lcp-rknn``."""

import argparse
import sys
from collections.abc import Sequence

from mmdet_lcp_runtime.command import share
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.rknn.conversion import convert
from mmdet_lcp_runtime.telling import tell


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='mmdet-lcp-rknn',
        description="Write an exported detector for Rockchip's NPUs.\n\n"
        '  mmdet-lcp export my_ssd.py my_ssd.pth --out my_ssd.onnx '
        '--decoded --preprocessed --batch 1\n'
        '  mmdet-lcp-rknn my_ssd.onnx photos/*.jpg --platform rk3588 --int8 --out my_ssd.rknn\n\n'
        "Runs on a PC with Rockchip's toolkit. The file detects on some of the photos, in the\n"
        "toolkit's simulator, and is compared with the ONNX file. It holds the network; what\n"
        'makes boxes of its maps is my_ssd.decode.onnx, for the CPU. Copy both to the board with\n'
        'my_ssd.rknn.json: `mmdet-lcp-detect my_ssd.rknn photo.jpg` runs them there.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('model', metavar='MODEL', help='*.onnx, decoded, preprocessed, of batch 1')
    add('photos', metavar='PHOTO', nargs='+', help='to compare on, and to calibrate on')
    add('--platform', required=True, help='the chip: rk3562, rk3566, rk3568, rk3576, rk3588, ...')
    add('--out', required=True, metavar='FILE', help='*.rknn')
    add('--int8', action='store_true', help='eight bits, calibrated on the photos; else float16')
    add(
        '--score',
        type=share,
        default=0.3,
        help='compare detections from this score on; default: %(default)s',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    try:
        made = convert(
            args.model, args.out, args.platform, args.photos, int8=args.int8, score=args.score
        )
    except (DetectionError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    found, name = made.agreement, made.path.name
    kind = f'int8, calibrated on {made.calibrated} photos' if args.int8 else 'float16'
    lines = [
        f'{made.path}: {args.platform}, {kind}, {made.path.stat().st_size / 2**20:.2f} MiB',
        f"beside {args.model} in the toolkit's simulator, on {found.photos} photos: {found}",
        f'copy {name}, {made.path.stem}.decode.onnx and {name}.json to the board, then: '
        f'mmdet-lcp-detect {name} photo.jpg --out seen.jpg',
    ]
    if made.cycles is not None:
        millions = f'{made.cycles / 1e6:.2f} million'
        lines.insert(1, f"{millions} cycles of the NPU for an image, by the compiler's count")
    if found.warning:
        lines.append(f'warning: {found.warning}')
    tell('\n  '.join(lines))
    return 0


def run() -> None:
    """The installed command."""
    sys.exit(main())
