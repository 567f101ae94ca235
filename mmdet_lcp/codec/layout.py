"""Where things lie in a packed file; docs/packed_file.md says it in words.

    head     magic, version
    data     the tensors' bytes, one behind the other
    index    compressed JSON: a record of each tensor, the config, the meta data
    tail     size of the index, compressed and not; digest of everything before it; end mark

The index comes last, so that a file is written in one pass, one tensor in memory at a time; the
tail has a fixed size, so that it is found from the end.
"""

import hashlib
import struct
import zlib

from mmdet_lcp.errors import CompressionError

# As PNG's: the first byte is no text, and a transfer that converts line ends is noticed.
MAGIC = b'\x89LCP\r\n\x1a\n'
END = b'LCP\r\nend'
VERSION = 2
READABLE = (1, 2)  # version 1 has no codebooks by row
HEAD = struct.Struct('<8sI')
TAIL = struct.Struct('<QQ32s8s')
DIGEST_SIZE = 32
UNHASHED = DIGEST_SIZE + len(END)  # at the end of the tail
MAX_INDEX = 16 << 20  # bytes of JSON; a detector's config and records take some ten thousand
SUFFIX = '.lcp'


def new_digest() -> 'hashlib.blake2b':
    """Takes all bytes of the file up to the digest itself."""
    return hashlib.blake2b(digest_size=DIGEST_SIZE)


def compress_index(text: bytes) -> bytes:
    """The index as it is written.

    Raises:
        CompressionError: it is too large for a file.
    """
    if len(text) > MAX_INDEX:
        raise CompressionError(
            f'config, meta data and names take {len(text)} bytes, at most {MAX_INDEX} can be '
            'packed; save the checkpoint with less in its `meta`'
        )
    return zlib.compress(text, 9)


def expand_index(data: bytes, size: int) -> bytes:
    """The text of the index; never more than ``size`` bytes are made.

    Raises:
        CompressionError: it is damaged, or not of that size.
    """
    if size > MAX_INDEX:
        raise CompressionError(f'an index of {size} bytes is more than the {MAX_INDEX} allowed')
    expander = zlib.decompressobj()
    try:
        text = expander.decompress(data, size + 1)
    except zlib.error as error:
        raise CompressionError(f'the index cannot be expanded: {error}') from error
    if len(text) != size or not expander.eof or expander.unused_data:
        raise CompressionError('the index has not the size that it should have')
    return text
