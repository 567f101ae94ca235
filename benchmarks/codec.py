"""The codec at full size: bytes, seconds and memory for the weights of SSD300-VGG16.

The weights are made up: normal, the smallest 90 % of each layer set to zero, the others rounded to
256 values (32 in fully connected layers) at equal distances, as a k-means with linear
initialisation begins. Trained weights have other statistics; sizes say something about the codec,
not about what a trained detector becomes.

  python benchmarks/codec.py
  python benchmarks/codec.py --density 0.3 --no-others

Packing and unpacking run in processes of their own, one after the other. Memory is the most that
such a process held beyond what it held after its imports. xz and zstd get the same quantised
tensors, once as float32 and once as one byte an element (an index into the codebook, which is the
harder contest); they run in one thread.
"""

import argparse
import lzma
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from common import ROOT
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor

from mmdet_lcp.codec import (
    PackedReader,
    init_packed_detector,
    pack_detector,
    tensor_facts,
    unpack_detector,
)
from mmdet_lcp.codec.codebook import distinct, indices
from mmdet_lcp.codec.patterns import to_patterns
from mmdet_lcp.report.tables import format_bytes, text_table

CONFIG = ROOT / 'configs' / 'ssd' / 'ssd300_vgg16_voc0712.py'
CENTROIDS = {'conv': 256, 'fc': 32}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default=str(CONFIG), help='the detector (SSD300-VGG16)')
    parser.add_argument('--density', type=float, default=0.1, help='weights kept (default: 0.1)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--no-others', action='store_true', help='leave xz and zstd out')
    return parser.parse_args()


def quantised(weight: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Normal weights of this shape, pruned by magnitude and rounded to a few values."""
    weight = torch.randn(weight.shape, generator=generator)
    kept = max(1, round(density * weight.numel()))
    threshold = weight.abs().flatten().kthvalue(weight.numel() - kept + 1).values
    alive = weight.abs() >= threshold
    count = CENTROIDS['conv' if weight.dim() >= 3 else 'fc']
    low, high = weight.min(), weight.max()
    step = (high - low) / (count - 1)
    rounded = low + step * torch.round((weight - low) / step)
    return torch.where(alive, rounded, torch.zeros(()))


def make_checkpoint(args: argparse.Namespace, path: Path) -> dict[str, Tensor]:
    """Write a checkpoint of quantised weights; biases and the rest are random."""
    register_all_modules()
    generator = torch.Generator().manual_seed(args.seed)
    weights = {}
    for name, tensor in MODELS.build(Config.fromfile(args.config).model).state_dict().items():
        if tensor.dim() >= 2:
            weights[name] = quantised(tensor, args.density, generator)
        elif tensor.is_floating_point():
            weights[name] = torch.rand(tensor.shape, generator=generator)
        else:
            weights[name] = tensor
    torch.save({'meta': {'dataset_meta': {'classes': ('thing',)}}, 'state_dict': weights}, path)
    return weights


def peak_memory() -> int:
    """The most memory this process has held, in bytes."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    raise SystemExit('error: this system does not say how much memory a process has held')


def measured(work: Callable, *args: object) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in bytes of ``work(*args)`` in a new process."""
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, work, args))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit('error: the measured process has failed, see above') from None
    finally:
        process.join()


def _measure(pipe: 'multiprocessing.connection.Connection', work: Callable, args: tuple) -> None:
    register_all_modules()  # mmdet's own imports are not the codec's
    Path('/proc/self/clear_refs').write_text('5')
    before, wall, cpu = peak_memory(), time.perf_counter(), time.process_time()
    work(*args)
    pipe.send((time.perf_counter() - wall, time.process_time() - cpu, peak_memory() - before))


def as_bytes(weights: dict[str, Tensor]) -> bytes:
    """All tensors as they lie in memory."""
    return b''.join(to_patterns(tensor).tobytes() for tensor in weights.values())


def as_indices(weights: dict[str, Tensor]) -> bytes:
    """One byte an element where the tensor has at most 256 values, codebooks beside them."""
    parts = []
    for tensor in weights.values():
        patterns = to_patterns(tensor)
        codebook = distinct(patterns, 256)
        if codebook is None:
            parts.append(patterns.tobytes())
        else:
            parts += [codebook.tobytes(), indices(patterns, codebook).tobytes()]
    return b''.join(parts)


def cpu_seconds() -> float:
    """What this process and those that it ran and that ended have computed."""
    return sum(os.times()[:4])


def others(data: bytes) -> Iterator[tuple[str, int, float, float]]:
    """Name, bytes, CPU seconds there and back of general compressors."""
    begin = cpu_seconds()
    packed = lzma.compress(data, preset=9)
    middle = cpu_seconds()
    if lzma.decompress(packed) != data:
        raise SystemExit('error: xz gave back something else')
    yield 'xz -9', len(packed), middle - begin, cpu_seconds() - middle
    if shutil.which('zstd') is None:
        return
    for level in ('-19', '-3'):
        begin = cpu_seconds()
        packed = subprocess.run(['zstd', level, '-c'], input=data, capture_output=True).stdout
        middle = cpu_seconds()
        back = subprocess.run(['zstd', '-dc'], input=packed, capture_output=True).stdout
        if back != data:
            raise SystemExit('error: zstd gave back something else')
        yield f'zstd {level}', len(packed), middle - begin, cpu_seconds() - middle


def check(folder: Path, weights: dict[str, Tensor]) -> None:
    """See that what was unpacked is what was packed."""
    back = torch.load(folder / 'back.pth', weights_only=True)['state_dict']
    same = all(np.array_equal(to_patterns(back[n]), to_patterns(w)) for n, w in weights.items())
    if not same or list(back) != list(weights):
        raise SystemExit('error: the unpacked weights differ')


def main() -> None:
    """Measure and print."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = make_checkpoint(args, folder / 'in.pth')
        size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        files = [str(folder / name) for name in ('in.pth', 'out.lcp', 'back.pth', 'back.py')]
        steps = {
            'pack, read back and compare': (pack_detector, files[0], args.config, files[1]),
            'unpack to .pth and .py': (unpack_detector, *files[1:]),
            'init_packed_detector': (init_packed_detector, files[1], 'cpu'),
        }
        rows = []
        for name, (work, *given) in steps.items():
            wall, cpu, peak = measured(work, *given)
            rows.append([name, f'{wall:.1f}', f'{cpu:.1f}', f'{peak / size:.2f}'])
        check(folder, weights)
        packed = PackedReader(files[1])
        facts = list(tensor_facts(packed))

        count = sum(tensor.numel() for tensor in weights.values())
        print(
            f'{Path(args.config).stem}: {count / 1e6:.2f} M values, {format_bytes(size)}; '
            f'{args.density:.0%} of the weights kept, {torch.get_num_threads()} threads\n'
        )
        print(text_table(['step', 'seconds', 'CPU seconds', 'memory / weights'], rows))

        stream = sum(one.stream_size for one in facts)
        entropy = sum(one.entropy_size for one in facts)
        tables = sum(one.table_size for one in facts)
        tensors = sum(one.record.size for one in facts)
        bound = sum(one.bound for one in facts) + packed.index_size
        rest = tensors - stream - tables
        print(
            f'\nfile {packed.file_size} bytes: Huffman streams {stream} '
            f'({100 * (stream / entropy - 1):.2f} % above their entropy), code tables {tables}, '
            f'codebooks and raw values {rest}, index {packed.index_size}\n'
            f'{100 * (packed.file_size / bound - 1):.2f} % above streams at their entropy and all '
            'headers'
        )
        misses = [
            f'{one.record.name} {100 * (one.stream_size / one.entropy_size - 1):.1f} %'
            for one in facts
            if one.stream_size > 1.03 * one.entropy_size > 0
        ]
        print(f'tensors whose streams are more than 3 % above: {", ".join(misses) or "none"}\n')

        rows = [['this', packed.file_size, f'{size / packed.file_size:.1f}', '', '']]
        if not args.no_others:
            for form, data in (('float32', as_bytes(weights)), ('indices', as_indices(weights))):
                for name, there, seconds, back in others(data):
                    times = [f'{seconds:.1f}', f'{back:.1f}']
                    rows.append([f'{name}, {form}', there, f'{size / there:.1f}', *times])
            print(text_table(['compressor', 'bytes', 'factor', 'CPU s there', 'CPU s back'], rows))


if __name__ == '__main__':
    main()
