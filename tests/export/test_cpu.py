"""Integer instructions, by lines as Linux writes them."""

import pytest

from mmdet_lcp.export.cpu import integer_instructions


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('flags\t\t: fpu avx2 avx512f avx512_vnni\n', 'with AVX-512 VNNI'),
        ('flags : avx2 avx_vnni\n', 'with AVX VNNI'),
        ('flags : amx_int8 avx512_vnni\n', 'with AMX int8, AVX-512 VNNI'),
        ('Features\t: fp asimd asimddp\n', 'with Arm dot product'),
        ('model name : avx512_vnni\nflags : fpu avx2\n', 'without VNNI: products are added in 16'),
        ('model name : x\n', 'instructions not known'),
    ],
)
def test_known_flags(text, expected):
    assert expected in integer_instructions(text)


def test_this_machine():
    assert integer_instructions()
