"""What is fuzzed: whatever a file or config holds, there is a result or a `CompressionError`.

Each target takes one input of hypothesis and raises where it finds a fault: another exception, a
changed file that is accepted, a file that appears, memory of more than `GROWTH` times what the
file has, or more seconds than `SECONDS`.
"""

import contextlib
import copy
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from codec.reference import forge, split
from hypothesis import strategies as st
from mmengine.config import Config
from torch import nn

from mmdet_lcp.codec import PackedReader, open_writer
from mmdet_lcp.codec.record import MAX_GROWTH
from mmdet_lcp.distillation.config import read_mimic_of
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import load_torch
from mmdet_lcp.graph import Plan, apply_plan
from mmdet_lcp.measure.latency_table import LatencyTable
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.ratio_file import read_ratios
from mmdet_lcp.report.chain_report import ChainReport, LinkFacts, chain_text, read_chain_report
from mmdet_lcp.report.facts import (
    DetectorFacts,
    GroupFacts,
    SkippedLayer,
    StepFacts,
    TargetFacts,
    WeightFacts,
)
from mmdet_lcp.report.report import Report, read_report
from mmdet_lcp.report.report_pages import report_markdown
from mmdet_lcp.report.sensitivity import read_sensitivity
from mmdet_lcp.weight_compression.config import WeightCompressionConfig

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0
"""That one input may take, on a busy machine."""
GROWTH = MAX_GROWTH
"""Bytes in memory that a packed file may ask for, over its own; beside one MiB."""

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2**31, 2**40, 2**63, 2**80])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(['mmdet_lcp.L1Norm', 'SGD', 'in_channels', '0-3 7', '9-0', 'x' * 99, '(']),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)
# Where in a tree of data something happens (numbers choose among what is there), and what.
CHANGES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 99), min_size=1, max_size=6),
        st.sampled_from(['put', 'drop', 'add', 'add']),
        JUNK,
    ),
    min_size=1,
    max_size=3,
)
# A place in a file, and what happens there.
EDITS = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.sampled_from(['flip', 'put', 'insert', 'cut', 'end']),
        st.binary(min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: Any, changes: list[tuple[list[int], str, Any]]) -> Any:
    """Data with something put in, dropped or added at some places."""
    data = copy.deepcopy(data)
    for place, what, junk in changes:
        node = data
        for step, number in enumerate(place):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            if not len(keys):
                break
            key = keys[number % len(keys)]
            inside = node[key]
            deeper = isinstance(inside, dict | list) and len(inside) and step + 1 < len(place)
            if deeper:
                node = inside
            elif what == 'put':
                node[key] = junk
                break
            elif what == 'drop':
                del node[key]
                break
            else:
                if isinstance(node, dict):
                    node[str(junk)[:20]] = junk
                else:
                    node.append(junk)
                break
    return data


def edited(content: bytes, edits: list[tuple[int, str, bytes]]) -> bytes:
    """Bytes with something done at some places."""
    found = bytearray(content)
    for number, what, some in edits:
        if not found:
            break
        at = number % len(found)
        if what == 'flip':
            found[at] ^= some[0] or 1
        elif what == 'put':
            found[at : at + len(some)] = some
        elif what == 'insert':
            found[at:at] = some
        elif what == 'cut':
            del found[at : at + len(some)]
        else:
            del found[at:]
    return bytes(found)


class Fuzzed:
    """Everything that is fuzzed, in a folder of its own.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refused = self.accepted = 0
        self._packed = _packed_file(folder / 'good.lcp')
        torch.save({'meta': {'a': 1}, 'state_dict': _net().state_dict()}, folder / 'good.pth')
        self._checkpoint = (folder / 'good.pth').read_bytes()
        self._weights = dict(_net().state_dict())
        self._net = _net()
        self._plan = _plan()
        self._configs = _configs()
        for name, read, data in _files():
            (folder / name).write_text(json.dumps(data))
            read(folder / name)

    def targets(self) -> dict[str, tuple[st.SearchStrategy, Callable[[Any], None]]]:
        """Inputs and what takes them, by name."""
        return {
            'packed file: bytes': (EDITS, self.packed_bytes),
            'packed file: records, checksums right': (CHANGES, self.packed_records),
            'packed file: data, checksums right': (EDITS, self.packed_data),
            'checkpoint: bytes': (EDITS, self.checkpoint_bytes),
            'plan': (CHANGES, self.plan),
            'config keys': (st.tuples(st.integers(0, 2), CHANGES), self.config),
            'JSON files': (st.tuples(st.integers(0, 4), CHANGES, EDITS | st.none()), self.files),
        }

    def packed_bytes(self, edits: list) -> None:
        """Every other byte is noticed: there are checksums."""
        content = edited(self._packed, edits)
        if content != self._packed and self._read_packed(content):
            raise AssertionError('a packed file with other bytes is accepted')

    def packed_records(self, changes: list) -> None:
        """Whoever forges a file may get tensors, but neither memory nor another exception."""
        data, index = split(self._packed)
        self._read_packed(forge(data, changed(index, changes)))

    def packed_data(self, edits: list) -> None:
        """The data are something else, and the checksums are theirs."""
        data, index = split(self._packed)
        data = edited(data, edits)
        begin = 0
        for record in index['tensors']:
            record['crc'] = zlib.crc32(data[begin : begin + record['size']])
            begin += record['size']
        self._read_packed(forge(data, index))

    def checkpoint_bytes(self, edits: list) -> None:
        """A zip has checksums of its members: no other weights come out of it."""
        path = self.folder / 'bad.pth'
        path.write_bytes(edited(self._checkpoint, edits))
        read = self._allowed(lambda: load_torch(path))
        weights = read.get('state_dict') if isinstance(read, dict) else None
        for name, value in (weights or {}).items():
            own = self._weights.get(name)
            if own is None or not _same(own, value):
                raise AssertionError(f'{name} has other values, and nobody noticed')

    def plan(self, changes: list) -> None:
        """A plan that is accepted is applied, or refused before anything is changed."""
        data = changed(self._plan, changes)
        plan = self._allowed(lambda: Plan.from_dict(data))
        if plan is None:
            return
        net = copy.deepcopy(self._net)
        pruned = self._allowed(lambda: apply_plan(net, plan))
        if pruned is None:
            same = zip(net.state_dict().values(), self._net.state_dict().values(), strict=True)
            if not all(_same(a, b) for a, b in same):
                raise AssertionError('a plan that was refused has changed the network')

    def config(self, given: tuple[int, list]) -> None:
        """Keys of a config."""
        read, cfg = self._configs[given[0]]
        self._allowed(lambda: read(changed(cfg, given[1])))

    def files(self, given: tuple[int, list, list | None]) -> None:
        """Reports and tables, as JSON with other content, and as no JSON any more."""
        number, changes, edits = given
        name, read, data = _files()[number]
        text = json.dumps(changed(data, changes)).encode()
        path = self.folder / name
        path.write_bytes(text if edits is None else edited(text, edits))
        self._allowed(lambda: read(path))

    def _read_packed(self, content: bytes) -> bool:
        path = self.folder / 'bad.lcp'
        path.write_bytes(content)
        tracemalloc.start()
        try:
            found = self._allowed(lambda: dict(PackedReader(path).tensors()))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if most > GROWTH * len(content) + (1 << 20):
            raise AssertionError(f'{most} bytes of memory for a file of {len(content)}')
        return found is not None

    def _allowed(self, work: Callable[[], Any]) -> Any:
        """What comes of it; None for a `CompressionError`."""
        began, before = time.monotonic(), set(self.folder.iterdir())
        found = None
        with contextlib.suppress(CompressionError):
            found = work()
        self.refused += found is None
        self.accepted += found is not None
        if time.monotonic() - began > SECONDS:
            raise AssertionError('it takes too long')
        if set(self.folder.iterdir()) != before:
            raise AssertionError('a file has appeared')
        return found


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _packed_file(path: Path) -> bytes:
    """One tensor of every coding."""
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(30, 4, 3, 3, generator=rng)
    grid = torch.round(normal)
    alive = torch.rand(normal.shape, generator=rng) < 0.1
    signs = torch.sign(torch.randn(20, 60, generator=rng))
    with open_writer(path) as writer:
        writer.add('raw', torch.randn(5, generator=rng))
        writer.add('packed', torch.tensor([0.5, -0.5]).repeat(40))
        writer.add('shared', grid + 10)
        writer.add('sparse.raw', torch.where(alive, normal, torch.zeros(())))
        writer.add('sparse.shared', torch.where(alive, grid + 5, torch.zeros(())))
        writer.add('rows', torch.rand(20, 1, generator=rng) * signs)
        writer.add('count', torch.tensor(3))
        writer.describe({'model': {'type': 'X', 'sizes': (1, 2)}}, {'epoch': 3})
    return path.read_bytes()


def _net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
            nn.GroupNorm(2, 4),
        )


def _plan() -> dict:
    keep = {'total': 8, 'keep': [0, 2, 3, 7]}
    return {
        'version': 1,
        'modules': {
            '0': {'out_channels': keep},
            '1': {'out_channels': keep},
            '3': {'in_channels': keep},
        },
    }


def _configs() -> list[tuple[Callable[[dict], Any], dict]]:
    """What reads a config's key, and a config."""
    pruning = Config.fromfile(ROOT / 'configs' / '_base_' / 'pruning' / 'lcp.py').to_dict()
    weights = Config.fromfile(
        ROOT / 'configs' / '_base_' / 'weight_compression' / 'deep_compression.py'
    ).to_dict()
    mimic = Config.fromfile(ROOT / 'configs' / '_base_' / 'distill' / 'mimic.py').to_dict()
    mimic['mimic']['teacher'] = dict(config='x.py', checkpoint='x.pth')
    readers = (PruningConfig.from_cfg, WeightCompressionConfig.from_cfg, read_mimic_of)
    return list(zip(readers, (pruning, weights, mimic), strict=True))


def _files() -> list[tuple[str, Callable[[Path], Any], Any]]:
    """Name, what reads and shows the file, and what it may hold."""
    facts = DetectorFacts({'coco/bbox_mAP': 0.5}, 10, 20, 5, 1.5, 7, [1.4, 1.6])
    report = Report(
        method='LCP',
        seed=0,
        command='x',
        seconds=1.0,
        dense=facts,
        compressed=facts,
        groups=[GroupFacts('a', 8, 4, 4, 1.0, {'share_a': 1.0})],
        skipped=[SkippedLayer('b', 'c')],
        steps=[StepFacts('dense', None, {'coco/bbox_mAP': 0.5})],
        weights=[WeightFacts('w', 'x', 8, 4, 32, 8, 16, 9)],
        target=TargetFacts('macs', 0.5, 0.5, 0.4, 0.1, None, [0.4, 0.6]),
    )
    chain = ChainReport([LinkFacts('a', facts, 'a', 'b', 1.0)])
    cells = dict(
        groups={'a': 8},
        fingerprint={'a': 1},
        dense={'loss': 1.0},
        cells=[dict(group='a', ratio=0.5, kept=4, values={'loss': 0.4}, seconds=1.0)],
    )
    table = dict(
        version=1,
        device='x',
        anchors=[{'a': 1.0}],
        layers={'a': {'in': [1, 2], 'out': [3], 'ms': [[1.0], [2.0]]}},
    )
    return [
        ('report.json', lambda path: report_markdown(read_report(path)), report.to_dict()),
        ('chain_report.json', lambda path: chain_text(read_chain_report(path)), chain.to_dict()),
        ('sensitivity.json', lambda path: read_sensitivity(path.parent).summary(), cells),
        ('ratios.json', lambda path: read_ratios(str(path)), {'conv.*': 0.5, 'x': 0.25}),
        ('latency.json', LatencyTable.read, table),
    ]
