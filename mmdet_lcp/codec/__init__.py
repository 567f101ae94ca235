"""Compressed weights in a small file, and back, bit for bit."""

from mmdet_lcp.codec.facts import TensorFacts, tensor_facts
from mmdet_lcp.codec.packed_detector import (
    check_packable,
    init_packed_detector,
    pack_detector,
    unpack_detector,
)
from mmdet_lcp.codec.reader import PackedReader
from mmdet_lcp.codec.settings import PackSettings
from mmdet_lcp.codec.tensor_coding import decode_tensor, encode_tensor
from mmdet_lcp.codec.writer import PackedWriter, open_writer

__all__ = [
    'PackSettings',
    'PackedReader',
    'PackedWriter',
    'TensorFacts',
    'check_packable',
    'decode_tensor',
    'encode_tensor',
    'init_packed_detector',
    'open_writer',
    'pack_detector',
    'tensor_facts',
    'unpack_detector',
]
