"""The writer: its bytes by hand, as docs/packed_file.md has them, and files that are whole."""

import io
import json
import math
import struct
import zlib
from pathlib import Path

import pytest
import torch

from mmdet_lcp.codec import PackSettings, open_writer
from mmdet_lcp.codec.writer import PackedWriter
from mmdet_lcp.errors import CompressionError

from .reference import forge, split


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'x.lcp'


def test_bytes_by_hand(path):
    bias, count = struct.pack('<3f', 0.5, -1.5, 3), struct.pack('<q', -2)
    with open_writer(path) as writer:
        writer.add('bias', torch.tensor([0.5, -1.5, 3]))
        writer.add('count', torch.tensor(-2))
        writer.describe({'type': 'X'}, {'epoch': 3})
    tensors = [
        dict(name='bias', dtype='float32', shape=[3], size=12, crc=zlib.crc32(bias)),
        dict(name='count', dtype='int64', shape=[], size=8, crc=zlib.crc32(count)),
    ]
    index = dict(tensors=tensors, config={'type': 'X'}, meta={'epoch': 3})
    text = json.dumps(index, separators=(',', ':')).encode()
    assert path.read_bytes() == forge(bias + count, text)


def test_without_a_tensor_or_a_description(path):
    with open_writer(path):
        pass
    assert split(path.read_bytes()) == (b'', {'tensors': [], 'config': {}, 'meta': {}})


def test_records_are_given_and_kept_in_order():
    writer = PackedWriter(io.BytesIO(), PackSettings())
    given = [writer.add(name, torch.ones(3)) for name in ('b', 'c', 'a')]
    assert list(writer.records) == ['b', 'c', 'a']
    assert list(writer.records.values()) == given
    assert [record.name for record in given] == ['b', 'c', 'a']


def test_each_tensor_is_written_when_it_is_added():
    file = io.BytesIO()
    writer = PackedWriter(file, PackSettings())
    assert file.getvalue() == b'\x89LCP\r\n\x1a\n\x02\0\0\0'
    for number in range(1, 4):
        writer.add(str(number), torch.arange(number).double())
        assert len(file.getvalue()) == 12 + 8 * sum(range(number + 1))


def test_settings(path):
    for settings, data in (
        (None, struct.pack('<f', 0.1)),
        (PackSettings(half=True), struct.pack('<e', 0.1)),
    ):
        with open_writer(path, settings) as writer:
            writer.add('w', torch.tensor([0.1]))
        assert split(path.read_bytes())[0] == data


def test_twice_the_same_name(path):
    with (
        pytest.raises(CompressionError, match='w: is there already'),
        open_writer(path) as writer,
    ):
        writer.add('w', torch.zeros(1))
        writer.add('w', torch.zeros(1))
    assert not path.exists()


def test_the_file_is_there_when_the_block_has_ended(path):
    with open_writer(path) as writer:
        writer.add('w', torch.zeros(1))
        assert not path.exists()
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(path):
    path.write_bytes(b'old')
    with pytest.raises(CompressionError, match='NaN'), open_writer(path) as writer:
        writer.add('w', torch.zeros(1000))
        writer.add('v', torch.tensor(math.nan))
    assert path.read_bytes() == b'old'
    assert list(path.parent.iterdir()) == [path]


def test_too_much_text(path):
    with (
        pytest.raises(CompressionError, match='at most 16777216 can be packed'),
        open_writer(path) as writer,
    ):
        writer.describe({}, {'text': 'x' * (16 << 20)})
    assert not list(path.parent.iterdir())


def test_what_is_not_plain_is_found_at_the_end(path):
    """And leaves nothing behind."""
    with (
        pytest.raises(CompressionError, match=r'meta\.hook: a object cannot be packed'),
        open_writer(path) as writer,
    ):
        writer.describe({}, {'hook': object()})
    assert not list(path.parent.iterdir())
