"""Put a detector into one small file, take it out again, or say what is in it.

mmdet-lcp pack pack work_dirs/shared/pruned_config.py work_dirs/shared/pruned.pth small.lcp
mmdet-lcp pack info small.lcp
mmdet-lcp pack unpack small.lcp --checkpoint small.pth --config small.py

Every bit of the weights comes back (unless --half or --plain-zeros says otherwise). For each
tensor the smallest coding is taken: where weights were pruned or share values (Deep Compression),
positions and values are Huffman coded; anything else is stored as it is. docs/packed_file.md has
the format.

A packed file can be used without unpacking it:

  detector = mmdet_lcp.codec.init_packed_detector('small.lcp')
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import (
    PackedReader,
    PackSettings,
    TensorFacts,
    pack_detector,
    tensor_facts,
    unpack_detector,
)
from mmdet_lcp.config.file import CHECKPOINTS, read_config
from mmdet_lcp.report.tables import format_bytes, text_table

SHARE_OF_ZEROS = 0.001  # of all values, that are worth a note


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    pack = commands.add_parser('pack', help='checkpoint and config to one file')
    pack.add_argument('config', metavar='CONFIG', help="the detector's config")
    pack.add_argument('checkpoint', metavar='CHECKPOINT', help='the weights (*.pth)')
    pack.add_argument('file', metavar='FILE', help='the file to write (*.lcp)')
    usual = PackSettings()
    for layers in ('conv', 'fc'):
        pack.add_argument(
            f'--{layers}-gap-bits',
            type=int,
            metavar='N',
            default=getattr(usual, f'{layers}_gap_bits'),
            help=f'bits of a gap between weights of {layers} layers (default: %(default)s)',
        )
    pack.add_argument(
        '--plain-zeros',
        action='store_true',
        help='write -0.0 as 0.0: what multiplying with a mask leaves behind',
    )
    pack.add_argument(
        '--half',
        action='store_true',
        help='store what does not become smaller as float16; this rounds biases and statistics',
    )

    unpack = commands.add_parser('unpack', help='one file to checkpoint and config')
    unpack.add_argument('file', metavar='FILE', help='a packed detector (*.lcp)')
    unpack.add_argument('--checkpoint', metavar='PATH', help='(FILE with .pth, unless told)')
    unpack.add_argument('--config', metavar='PATH', help='(FILE with .py, unless told)')
    unpack.add_argument('--force', action='store_true', help='overwrite files that exist')

    info = commands.add_parser('info', help='what each tensor takes, and its entropy')
    info.add_argument('file', metavar='FILE', help='a packed detector (*.lcp)')
    return parser.parse_args(argv)


def pack(args: argparse.Namespace) -> None:
    """Pack, and say what came of it."""
    if Path(args.config).suffix in CHECKPOINTS:  # the order of earlier releases
        args.config, args.checkpoint = args.checkpoint, args.config
    config = read_config(args.config)
    settings = PackSettings(
        args.conv_gap_bits, args.fc_gap_bits, plain_zeros=args.plain_zeros, half=args.half
    )
    packed = pack_detector(args.checkpoint, config, args.file, settings)
    if not {'dataset_meta', 'CLASSES'} & set(packed.meta):
        print(f'note: {args.checkpoint} names no classes; mmdet will take those of COCO')
    if not args.plain_zeros:
        _note_negative_zeros(packed)
    weights = sum(record.decoded_size for record in packed.records.values())
    print(
        f'{args.file}: {packed.file_size} bytes for {format_bytes(weights)} of weights, '
        f'{weights / packed.file_size:.1f} times smaller; read back and compared'
    )


def _note_negative_zeros(packed: PackedReader) -> None:
    floats = [tensor for _, tensor in packed.tensors() if tensor.is_floating_point()]
    count = sum(int(((tensor == 0) & tensor.signbit()).sum()) for tensor in floats)
    if count > SHARE_OF_ZEROS * sum(tensor.numel() for tensor in floats):
        print(f'note: {count} values are -0.0, as multiplying with a mask leaves them; they are')
        print('kept, and cost as much as other values: --plain-zeros makes 0.0 of them')


def unpack(args: argparse.Namespace) -> None:
    """Unpack next to the file, or where it was told."""
    checkpoint = Path(args.checkpoint or Path(args.file).with_suffix('.pth'))
    config = Path(args.config or Path(args.file).with_suffix('.py'))
    for path in (checkpoint, config):
        if path.exists() and not args.force:
            raise CompressionError(f'{path}: exists; --force overwrites it')
    unpack_detector(args.file, checkpoint, config)
    print(f'written: {checkpoint}, {config}')


def info(args: argparse.Namespace) -> None:
    """Print a line for each tensor, and the sums."""
    packed = PackedReader(args.file)
    facts = list(tensor_facts(packed))
    rows = [_row(one) for one in facts]
    size = sum(one.record.size for one in facts)
    bound = sum(one.bound for one in facts)
    weights = sum(one.record.decoded_size for one in facts)
    elements = sum(one.record.elements for one in facts)
    sums = ['all tensors', '', '', f'{8 * size / max(elements, 1):.2f}', size, f'{bound:.0f}']
    rows.append([*sums, _factor(weights, size)])
    index = ['config, names, ...', '', '', '', packed.index_size, packed.index_size, '']
    rows.append(index)
    whole = packed.file_size
    rows.append(['file', '', '', '', whole, f'{bound + packed.index_size:.0f}'])
    rows[-1].append(_factor(weights, whole))
    headers = ['tensor', 'shape', 'coding', 'bits/weight', 'bytes', 'entropy bound', 'factor']
    print(text_table(headers, rows, words=3))
    coded = sum(one.stream_size for one in facts)
    entropy = sum(one.entropy_size for one in facts)
    if coded:
        print(
            f'Huffman-coded streams: {coded} bytes, {100 * (coded / entropy - 1):.2f} % above '
            f'their entropy; code tables: {sum(one.table_size for one in facts)} bytes'
            if entropy
            else f'Huffman-coded streams: {coded} bytes, of constants'
        )
    classes = (packed.meta.get('dataset_meta') or {}).get('classes')
    if classes:
        print('classes: ' + ', '.join(map(str, classes)))


def _row(facts: TensorFacts) -> list[object]:
    record = facts.record
    shape = 'x'.join(map(str, record.shape)) or 'scalar'
    bits = f'{facts.bits_per_weight:.2f}'
    factor = _factor(record.decoded_size, record.size)
    return [record.name, shape, record.coding, bits, record.size, f'{facts.bound:.0f}', factor]


def _factor(before: int, after: int) -> str:
    return f'{before / after:.1f}' if after else ''


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    args = parse_args(argv)
    try:
        {'pack': pack, 'unpack': unpack, 'info': info}[args.command](args)
        return 0
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
