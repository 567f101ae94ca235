"""Whole files: what comes back, and that nothing wrong is ever read."""

import copy
import hashlib
import json
import math
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch

from mmdet_lcp.codec import PackedReader, PackSettings, open_writer
from mmdet_lcp.codec.patterns import to_patterns
from mmdet_lcp.errors import CompressionError

from .reference import SIZES, forge, read, split

CONFIG = {'model': {'type': 'X', 'sizes': (1, 2)}}
META = {'dataset_meta': {'classes': ('a', 'ü')}, 'epoch': 3, 'best': math.inf}


def tensors() -> dict[str, torch.Tensor]:
    """One of every coding."""
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(30, 4, 3, 3, generator=rng)
    grid = torch.round(normal)
    alive = torch.rand(normal.shape, generator=rng) < 0.1
    return {
        'raw': torch.randn(5, generator=rng),
        'packed': torch.tensor([0.5, -0.5]).repeat(40),
        'shared': grid + 10,
        'sparse.raw': torch.where(alive, normal, torch.zeros(())),
        'sparse.shared': torch.where(alive, grid + 5, torch.zeros(())),
        'rows': torch.rand(20, 1, generator=rng) * torch.sign(torch.randn(20, 60, generator=rng)),
        'count': torch.tensor(3),
        'empty': torch.zeros(0, 2),
    }


def write(path: Path, weights=None, config=CONFIG, meta=META) -> Path:
    with open_writer(path) as writer:
        for name, tensor in (weights or tensors()).items():
            writer.add(name, tensor)
        writer.describe(config, meta)
    return path


def read_all(path: Path) -> dict[str, torch.Tensor]:
    return dict(PackedReader(path).tensors())


@pytest.fixture(scope='module')
def good(tmp_path_factory) -> bytes:
    return write(tmp_path_factory.mktemp('good') / 'good.lcp').read_bytes()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'x.lcp'


def test_everything_comes_back(path):
    packed = PackedReader(write(path))
    assert {record.coding for record in packed.records.values()} == {
        'raw',
        'packed',
        'shared',
        'rows',
        'sparse raw',
        'sparse shared',
    }
    assert repr((packed.config, packed.meta)) == repr((CONFIG, META))
    assert packed.file_size == path.stat().st_size
    assert packed.file_size - packed.index_size == sum(r.size for r in packed.records.values())
    back = dict(packed.tensors())
    assert list(back) == list(tensors())
    for name, tensor in tensors().items():
        assert (back[name].dtype, back[name].shape) == (tensor.dtype, tensor.shape)
        assert (to_patterns(back[name]) == to_patterns(tensor)).all()


def test_the_document_describes_the_file(good):
    """Read by a second reader that was written from docs/packed_file.md."""
    found = read(good)
    assert list(found) == list(tensors())
    for name, tensor in tensors().items():
        dtype, shape, elements = found[name]
        assert (f'torch.{dtype}', shape) == (str(tensor.dtype), list(tensor.shape))
        assert elements == to_patterns(tensor).tobytes()


def test_the_same_input_gives_the_same_file(good, path):
    assert write(path).read_bytes() == good


def test_half_in_the_file(path):
    weights = torch.randn(50, generator=torch.Generator().manual_seed(0))
    with open_writer(path, PackSettings(half=True)) as writer:
        writer.add('w', weights)
    assert torch.equal(read_all(path)['w'], weights.half().float())
    assert read(path.read_bytes())['w'][2] == to_patterns(weights.half()).tobytes()


@pytest.mark.parametrize('kind', ['raw', 'sparse'])
def test_one_tensor_in_memory_at_a_time(path, kind):
    """Of 16 tensors of 1 MB each; NumPy's memory is counted, PyTorch's own is not."""
    weights = torch.randn(1 << 18, generator=torch.Generator().manual_seed(0))
    if kind == 'sparse':
        weights = torch.where(weights.abs() > 1.6, torch.round(weights * 8), torch.zeros(()))
    tracemalloc.start()
    try:
        write(path, {str(number): weights for number in range(16)})
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.reset_peak()
        for _, tensor in PackedReader(path).tensors():
            assert torch.equal(tensor, weights)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


class TestDamage:
    def test_every_truncation(self, good, path):
        for size in range(len(good)):
            path.write_bytes(good[:size])
            with pytest.raises(CompressionError, match=r'x\.lcp: '):
                PackedReader(path)

    def test_every_byte(self, good, path):
        for place in range(len(good)):
            for flip in (1 << place % 8, 255):
                damaged = bytearray(good)
                damaged[place] ^= flip
                path.write_bytes(damaged)
                with pytest.raises(CompressionError, match=r'x\.lcp: .*damaged'):
                    PackedReader(path)

    def test_bytes_too_many(self, good, path):
        for file in (good + b'\0', good + good[-8:], b'\0' + good, good[:100] + good[90:]):
            path.write_bytes(file)
            with pytest.raises(CompressionError, match='damaged'):
                PackedReader(path)

    def test_a_tensor_that_changes_after_the_file_was_opened(self, good, path):
        path.write_bytes(good)
        packed = PackedReader(path)
        path.write_bytes(good[:14] + b'\xff' + good[15:])
        with pytest.raises(CompressionError, match=r'x\.lcp: raw: its checksum is wrong'):
            packed.read('raw')
        path.write_bytes(good[:20])
        with pytest.raises(CompressionError, match='shorter while it was read'):
            packed.read('packed')

    @pytest.mark.parametrize('content', [b'', b'PK\x03\x04' + b'x' * 99, b'<html>' * 20])
    def test_another_file(self, path, content):
        path.write_bytes(content)
        with pytest.raises(CompressionError, match='no packed detector'):
            PackedReader(path)

    def test_another_version(self, path, good):
        path.write_bytes(good[:8] + struct.pack('<I', 3) + good[12:])
        with pytest.raises(CompressionError, match=r'version 3 .* reads versions 1 to 2'):
            PackedReader(path)

    def test_the_version_before(self, path, good):
        """It is read; codebooks by row were not in it."""
        data, index = split(good)
        path.write_bytes(forge(data, index, version=1))
        with pytest.raises(CompressionError, match=r'rows: codebooks by row.* version 1'):
            PackedReader(path)
        begin = 0
        for record in index['tensors']:
            if record['name'] == 'rows':
                data = data[:begin] + data[begin + record['size'] :]
            begin += record['size']
        index['tensors'] = [record for record in index['tensors'] if record['name'] != 'rows']
        path.write_bytes(forge(data, index, version=1))
        back = read_all(path)
        assert list(back) == [name for name in tensors() if name != 'rows']
        for name, tensor in back.items():
            assert (to_patterns(tensor) == to_patterns(tensors()[name])).all()

    def test_no_file_and_no_tensor(self, path, good):
        with pytest.raises(CompressionError, match='no such file'):
            PackedReader(path)
        path.write_bytes(good)
        with pytest.raises(CompressionError, match="no tensor 'y'"):
            PackedReader(path).read('y')


def changed(good: bytes, change, name: str) -> bytes:
    """The good file with another record of one tensor, and right checksums."""
    data, index = split(good)
    (record,) = [record for record in index['tensors'] if record['name'] == name]
    change(record)
    return forge(data, index)


HUGE = 1 << 50


class TestMadeOnPurpose:
    """Files whose checksums are right and whose contents lie."""

    @pytest.fixture
    def refused(self, path):
        """Read it; an error has to come before much memory is taken."""

        def check(file: bytes, match: str) -> None:
            path.write_bytes(file)
            tracemalloc.start()
            try:
                with pytest.raises(CompressionError, match=match):
                    read_all(path)
                assert tracemalloc.get_traced_memory()[1] < 4 << 20
            finally:
                tracemalloc.stop()

        return check

    def test_forging_works(self, good, path):
        path.write_bytes(changed(good, lambda record: None, 'raw'))
        assert list(read_all(path)) == list(tensors())

    @pytest.mark.parametrize('name', ['raw', 'packed', 'shared', 'rows'])
    def test_huge_shape(self, refused, good, name):
        for shape in ([HUGE], [1 << 25, 1 << 25], [1 << 30]):
            file = changed(good, lambda r, s=shape: r.update(shape=s), name)
            refused(file, f'{name}: (impossible|values and codebook|the parts are not)')

    def test_huge_shape_of_a_sparse_tensor(self, refused, good):
        """All but its entries are zeros that take no bytes."""
        for shape in ([1 << 30], [1 << 50]):
            file = changed(good, lambda r, s=shape: r.update(shape=s), 'sparse.shared')
            refused(file, 'more than 1024 times as much|impossible')

    def test_huge_codebooks(self, refused, good):
        """The first side says how many codebooks there are."""
        for shape, centroids in (
            ([HUGE, 1], 2),
            ([1, HUGE], 2),
            ([1 << 30, 1 << 29], 256),
            ([20, 60], 256),
            ([20, 60], 0),
            ([0, 60], 2),
            ([20, 0], 2),
            ([1200], 2),
        ):
            lie = dict(shape=shape, centroids=centroids)
            file = changed(good, lambda r, lie=lie: r.update(lie), 'rows')
            refused(file, 'rows: (impossible|the)')
        record = dict(name='x', dtype='float32', size=0, crc=0, values='rows', centroids=2)
        for shape in ([0, 5], [0, 0]):
            index = dict(tensors=[dict(record, shape=shape)], config={}, meta={})
            refused(forge(b'', index), 'x: impossible')

    def test_an_index_behind_the_codebook_of_a_row(self, refused):
        data = struct.pack('<6f', 1, 2, 3, 4, 5, 6) + bytes([0b00011011])
        record = dict(name='x', dtype='float32', shape=[2, 2], size=len(data))
        record.update(crc=zlib.crc32(data), values='rows', centroids=3)
        index = dict(tensors=[record], config={}, meta={})
        refused(forge(data, index), 'end of the codebook')

    def test_huge_constant(self, refused, path):
        """Twelve elements are one bit, and not fewer."""
        data = struct.pack('<f', 1) + b'\x10' + bytes(4)
        record = dict(name='x', dtype='float32', size=len(data), crc=zlib.crc32(data))
        record.update(values='shared', centroids=1, shape=[384], stream=[384, 1, 12, 32])
        index = dict(tensors=[record], config={}, meta={})
        path.write_bytes(forge(data, index))
        assert torch.equal(read_all(path)['x'], torch.ones(384))
        for count, bits in ((385, 32), (HUGE, 32), (HUGE, HUGE // 12 + 1), (384, 33)):
            record.update(shape=[count], stream=[count, 1, 12, bits])
            refused(forge(data, index), 'x: (impossible|the parts are not as large)')

    def test_huge_size(self, refused, good):
        huge = dict(size=HUGE // 1024, shape=[HUGE // 4096])
        refused(changed(good, lambda r: r.update(huge), 'raw'), 'do not fill the room')

    def test_huge_index(self, refused, good):
        data, _ = split(good)
        bomb = b'[' + b'0,' * (1 << 24) + b'0]'
        refused(forge(data, bomb), 'more than the 16777216 allowed')
        refused(forge(data, bomb, text_size=1000), 'not the size')
        refused(forge(data, b'{}', text_size=1 << 40), 'more than the')

    def test_index_larger_than_the_file(self, refused, good):
        hashed = good[:-56] + struct.pack('<QQ', 1 << 40, 100)
        digest = hashlib.blake2b(hashed, digest_size=32).digest()
        refused(hashed + digest + good[-8:], 'larger than the file')

    @pytest.mark.parametrize(
        'text', [b'', b'[]', b'[[[[', b'{"a":' * 10**5, b'{}', b'null', b'"' + b'x' * 1000]
    )
    def test_other_indices(self, refused, good, text):
        refused(forge(split(good)[0], text), 'index|JSON')

    def test_gaps_that_lead_out(self, refused, good):
        file = changed(good, lambda r: r.update(shape=[30, 4, 3, 2]), 'sparse.raw')
        refused(file, 'behind the end of the tensor')

    def test_an_index_behind_the_codebook(self, refused):
        data = struct.pack('<fff', 1, 2, 3) + b'\xc0'
        record = dict(name='x', dtype='float32', shape=[1], size=len(data))
        record.update(crc=zlib.crc32(data), values='packed', centroids=3)
        refused(forge(data, dict(tensors=[record], config={}, meta={})), 'end of the codebook')

    def test_names_twice_and_bytes_left_over(self, refused, good):
        data, index = split(good)
        doubled = copy.deepcopy(index)
        doubled['tensors'].append(doubled['tensors'][0])
        refused(forge(data + data[:20], doubled), 'raw: is there twice')
        refused(forge(data + b'x', index), 'do not fill the room')

    @pytest.mark.parametrize('seed', range(4))
    def test_random_lies(self, good, path, seed):
        """One key of a record is something else: an error, or tensors, and little memory."""
        rng = random.Random(seed)
        lies = [0, 1, 2, 3, 255, 256, 2**31, 2**63, 2**80, -1, 1.5, True, None, 'x', '', [], {}]
        lies += ['packed', 'shared', 'rows', 'float16', [1], [0, 0], [1, 1, 1, 1], [2**40] * 4]
        lies += SIZES
        refused = 0
        for _ in range(250):
            data, index = split(good)
            record = rng.choice(index['tensors'])
            key = rng.choice([*record, 'stream', 'gaps', 'gap_stream', 'values', 'stored', 'new'])
            inner = record.get(key)
            if rng.random() < 0.1:
                record.pop(key, None)
            elif isinstance(inner, list) and inner and rng.random() < 0.7:
                place = rng.randrange(len(inner))
                number = inner[place]
                inner[place] = rng.choice([*lies, number + 1, number - 1])
            else:
                record[key] = rng.choice(lies)
            refused += self.outcome(path, forge(data, index))
        assert refused > 150

    @pytest.mark.parametrize('seed', range(4))
    def test_random_bytes(self, good, path, seed):
        """The tensors' bytes are something else, their checksums are right."""
        rng = random.Random(seed)
        refused = 0
        for _ in range(250):
            data, index = split(good)
            data = bytearray(data)
            for _ in range(rng.choice([1, 1, 3, 20])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            begin = 0
            for record in index['tensors']:
                record['crc'] = zlib.crc32(data[begin : begin + record['size']])
                begin += record['size']
            refused += self.outcome(path, forge(bytes(data), index))
        assert refused > 50

    @staticmethod
    def outcome(path: Path, file: bytes) -> bool:
        """Whether it is refused; no other exception, and no tensor larger than it may be."""
        path.write_bytes(file)
        tracemalloc.start()
        try:
            packed = PackedReader(path)
            for name, tensor in packed.tensors():
                record = packed.records[name]
                assert tensor.numel() * tensor.element_size() <= 1024 * record.size
                assert list(tensor.shape) == list(record.shape)
        except CompressionError:
            return True
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 << 20
        return False


def test_index_is_json(good):
    """What a person finds who unpacks it."""
    index = split(good)[1]
    assert list(index) == ['tensors', 'config', 'meta']
    assert index['config'] == json.loads('{"model": {"type": "X", "sizes": {"$tuple": [1, 2]}}}')
    assert index['tensors'][0].keys() == {'name', 'dtype', 'shape', 'size', 'crc'}
