"""A second reader of packed files, bit by bit, written from docs/packed_file.md alone.

And `forge`, which makes files whose checksums are right, whatever they hold.
"""

import hashlib
import itertools
import json
import math
import struct
import zlib

SIZES = {
    'float64': 8,
    'float32': 4,
    'float16': 2,
    'bfloat16': 2,
    'int64': 8,
    'int32': 4,
    'int16': 2,
    'int8': 1,
    'uint8': 1,
    'bool': 1,
}


def split(file: bytes) -> tuple[bytes, dict]:
    """Data and index."""
    index_size, text_size = struct.unpack('<QQ', file[-56:-40])
    assert file[:12] == b'\x89LCP\r\n\x1a\n\x02\0\0\0'
    assert file[-8:] == b'LCP\r\nend'
    assert file[-40:-8] == hashlib.blake2b(file[:-40], digest_size=32).digest()
    text = zlib.decompress(file[-56 - index_size : -56])
    assert len(text) == text_size
    return file[12 : -56 - index_size], json.loads(text)


def forge(data: bytes, index, text_size: int | None = None, version: int = 2) -> bytes:
    """A file with this data and index (JSON, or bytes of the author's own)."""
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    packed = zlib.compress(text, 9)
    size = len(text) if text_size is None else text_size
    head = b'\x89LCP\r\n\x1a\n' + struct.pack('<I', version)
    hashed = head + data + packed + struct.pack('<QQ', len(packed), size)
    return hashed + hashlib.blake2b(hashed, digest_size=32).digest() + b'LCP\r\nend'


def read(file: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Of each tensor its type, its shape, and its elements as bytes."""
    data, index = split(file)
    tensors = {}
    for record in index['tensors']:
        size = record['size']
        part, data = data[:size], data[size:]
        assert zlib.crc32(part) == record['crc']
        elements = tensor(part, record)
        tensors[record['name']] = (
            record.get('stored', record['dtype']),
            record['shape'],
            elements,
        )
    assert not data
    return tensors


def tensor(data: bytes, record: dict) -> bytes:
    """The elements of one tensor."""
    size = SIZES[record.get('stored', record['dtype'])]
    elements = math.prod(record['shape'])
    centroids = record.get('centroids', 0)
    rows = record['shape'][0] if record.get('values') == 'rows' else 1
    codebook, data = data[: rows * centroids * size], data[rows * centroids * size :]
    places = range(elements)
    if 'gaps' in record:
        bits, entries = record['gaps']
        filler = 2**bits - 1
        gaps, data = stream(data, *record['gap_stream'])
        places, here = [], 0
        for gap in gaps:
            here += gap
            if gap != filler:
                places.append(here)
                here += 1
        assert len(places) == entries
    form = record.get('values', 'raw')
    if form == 'raw':
        values = [data[i : i + size] for i in range(0, len(data), size)]
    else:
        if form in ('packed', 'rows'):
            width = max(1, math.ceil(math.log2(centroids)))
            text = ''.join(f'{byte:08b}' for byte in data)
            numbers = [int(text[i * width : (i + 1) * width], 2) for i in range(len(places))]
        else:
            numbers, data = stream(data, *record['stream'])
            assert not data
        if form == 'rows':
            own = elements // rows
            numbers = [place // own * centroids + n for place, n in enumerate(numbers)]
        values = [codebook[n * size : (n + 1) * size] for n in numbers]
    assert len(values) == len(places)
    out = bytearray(elements * size)
    for place, value in zip(places, values, strict=True):
        out[place * size : (place + 1) * size] = value
    return bytes(out)


def stream(data: bytes, count: int, alphabet: int, block: int, bits: int):
    """The symbols of a Huffman stream, and what comes behind it."""
    if not count:
        return [], data
    symbols = alphabet**block
    table_size = (symbols + 1) // 2
    lengths = list(itertools.chain(*((byte >> 4, byte & 15) for byte in data[:table_size])))
    words, code = {}, 0
    for length in range(1, 16):
        code *= 2
        for symbol, own in enumerate(lengths):
            if own == length:
                words[f'{code:0{length}b}'] = symbol
                code += 1
    end = table_size + (bits + 7) // 8
    text = ''.join(f'{byte:08b}' for byte in data[table_size:end])[:bits]
    found, word = [], ''
    for bit in text:
        word += bit
        if word in words:
            number = words[word]
            found += [number // alphabet**i % alphabet for i in reversed(range(block))]
            word = ''
    assert not word
    return found[:count], data[end:]
