"""Any tensor comes back bit for bit, and the smallest coding is taken."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_lcp.codec import PackSettings, decode_tensor, encode_tensor
from mmdet_lcp.codec.patterns import ELEMENT_TYPES
from mmdet_lcp.codec.record import TensorRecord
from mmdet_lcp.errors import CompressionError

from . import reference

SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)


def elements(tensor: torch.Tensor) -> bytes:
    """As they lie in memory."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def check(tensor: torch.Tensor, settings: PackSettings | None = None) -> TensorRecord:
    """Code, decode, small ones with both readers, compare the bytes; the record."""
    record, data = encode_tensor('x', tensor, settings)
    assert TensorRecord.from_dict(record.to_dict()) == record
    assert len(data) == record.size
    back = decode_tensor(record, bytearray(data)).tensor
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert elements(back) == elements(tensor)
    if tensor.numel() <= 2000:  # it is slow
        assert elements(tensor) == reference.tensor(data, record.to_dict())
    return record


def values_of(name: str, kinds: int, rng: np.random.Generator) -> torch.Tensor:
    """So many random bit patterns of a type, none of them NaN."""
    kind = ELEMENT_TYPES[name]
    if name == 'bool':
        return torch.from_numpy(rng.integers(0, 2, kinds).astype(bool))
    bits = rng.integers(0, 256, kinds * kind.pattern.itemsize).astype(np.uint8)
    values = torch.from_numpy(bits).view(kind.dtype)
    return torch.where(torch.isnan(values), torch.ones(()).to(kind.dtype), values)


@given(
    name=st.sampled_from(sorted(ELEMENT_TYPES)),
    shape=SHAPES,
    kinds=st.sampled_from([1, 2, 3, 16, 255, 256, 257, 1000]),
    density=st.sampled_from([0, 0.01, 0.1, 0.5, 1]),
    seed=st.integers(0, 10**6),
    gap_bits=st.integers(1, 8),
)
@settings(max_examples=200)
def test_any_tensor_comes_back(name, shape, kinds, density, seed, gap_bits):
    rng = np.random.default_rng(seed)
    values = values_of(name, kinds, rng)
    tensor = values[torch.from_numpy(rng.integers(0, kinds, math.prod(shape)))]
    tensor[torch.from_numpy(rng.random(len(tensor)) >= density)] = 0
    check(tensor.reshape(shape), PackSettings(gap_bits, gap_bits))


@given(
    name=st.sampled_from(sorted(ELEMENT_TYPES)),
    rows=st.integers(1, 40),
    count=st.integers(1, 300),
    kinds=st.sampled_from([1, 2, 3, 4, 16, 200, 256]),
    seed=st.integers(0, 10**6),
)
def test_any_rows_come_back(name, rows, count, kinds, seed):
    """Rows of few values each."""
    rng = np.random.default_rng(seed)
    tables = values_of(name, rows * kinds, rng)[: rows * kinds].reshape(rows, -1)
    places = torch.from_numpy(rng.integers(0, tables.size(1), (rows, count)))
    check(torch.gather(tables, 1, places))


SPECIAL = [0.0, -0.0, math.inf, -math.inf, 1e-45, -1e-45, 1.17549421e-38, 3.4028235e38]


@pytest.mark.parametrize(
    'tensor',
    [
        torch.zeros(0),
        torch.zeros(3, 0, 5),
        torch.tensor(2.5),
        torch.tensor(0),
        torch.tensor(7),
        torch.tensor([-0.0]),
        torch.zeros(8, 8, 3, 3),
        torch.full((1000,), -0.0),
        torch.full((30, 8), math.pi),
        torch.tensor(SPECIAL),
        torch.tensor(SPECIAL).repeat(100),
        torch.arange(-128, 128, dtype=torch.int8).repeat(7),
        torch.tensor([2**63 - 1, -(2**63), 0, -1] * 50),
        torch.eye(40),
        torch.eye(300),
        torch.nn.functional.one_hot(torch.tensor([99_999]), 100_000).float(),
        torch.randn(7, 5).T,
        torch.randn(4, 6)[:, ::2],
    ],
)
def test_special_tensors(tensor):
    check(tensor)


@pytest.mark.parametrize('zero', [False, True])
@pytest.mark.parametrize('kinds', [255, 256, 257])
def test_around_256_values(kinds, zero):
    """Zero is in no codebook of a sparse tensor, so 256 other values are possible beside it."""
    values = torch.arange(1, kinds + 1).float().repeat(100)
    if zero:
        values = torch.cat([values, torch.zeros(9 * len(values))])
        values = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
    record = check(values)
    shared = kinds <= 256
    assert record.centroids == (kinds if shared else 0)
    assert (record.gaps is not None) == zero


def normal(count=40_000, seed=0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def rounded(tensor: torch.Tensor, kinds: int) -> torch.Tensor:
    step = (tensor.max() - tensor.min()) / (kinds - 1)
    return torch.round(tensor / step) * step + 0.0


def pruned(tensor: torch.Tensor, density: float) -> torch.Tensor:
    limit = tensor.abs().quantile(1 - density)
    return torch.where(tensor.abs() >= limit, tensor, torch.zeros(()))


class TestCoding:
    """What stage of Deep Compression a tensor went through decides how it is written."""

    def test_dense(self):
        assert check(normal()).coding == 'raw'

    def test_pruned(self):
        assert check(pruned(normal(), 0.1)).coding == 'sparse raw'

    def test_shared(self):
        assert check(rounded(normal(), 64)).coding == 'shared'

    def test_pruned_and_shared(self):
        assert check(rounded(pruned(normal(), 0.1), 64)).coding == 'sparse shared'

    def test_binary_at_equal_shares(self):
        assert check(torch.tensor([1.0, -1.0]).repeat(500)).coding == 'packed'

    def test_pruned_binary(self):
        record = check(pruned(normal(), 0.1).sign() + 0.0)
        assert record.coding in ('sparse packed', 'sparse shared')
        assert record.size < 0.62 * 40_000 / 8  # 0.569 bits a weight: H(0.1) + 0.1

    @pytest.mark.parametrize('bits', [1, 2, 4])
    def test_a_scale_a_row(self, bits):
        """Each row has 2^bits values of its own: bits a weight, and a codebook a row."""
        generator = torch.Generator().manual_seed(bits)
        levels = torch.randint(0, 2**bits, (64, 32, 3, 3), generator=generator) * 2 + 1 - 2**bits
        scales = torch.rand(64, 1, 1, 1, generator=generator) + 0.5
        record = check(scales * levels)
        assert (record.coding, record.centroids) == ('rows', 2**bits)
        assert record.size == 64 * 288 * bits // 8 + 64 * 2**bits * 4

    def test_rows_with_fewer_values_than_others(self):
        rows = [torch.full((500,), 0.5), torch.tensor([1.0, -1.0, 7.0, -0.0]).repeat(125)]
        rows += [torch.tensor([2.0 + row, -3.0]).repeat(250) for row in range(100)]
        record = check(torch.stack(rows))
        assert (record.coding, record.centroids) == ('rows', 4)

    def test_rows_that_all_share_the_same_values_have_one_codebook(self):
        signs = torch.tensor([1.0, -1.0]).repeat(64, 288)
        assert check(signs.reshape(64, 64, 3, 3)).coding == 'packed'

    def test_more_values_in_a_later_row_than_an_index_can_have(self):
        rows = torch.sign(normal(40 * 1000)).reshape(40, 1000) * torch.rand(40, 1)
        assert check(rows).coding == 'rows'
        rows[30] = normal(1000, 1)
        assert check(rows).coding == 'raw'

    def test_small_tensors_have_no_codebook(self):
        assert check(torch.zeros(2)).coding == 'raw'
        assert check(torch.ones(3)).coding == 'raw'


def test_size_of_a_pruned_and_shared_layer_by_hand():
    """Gaps of 9 or of 10 zeros, 4 values, all at equal shares: each gap and each index is a bit
    and two, the codebook 16 bytes, the table of the lengths of 11 gaps 6."""
    rng = np.random.default_rng(0)
    long = rng.permutation(np.repeat([False, True], 4000))
    values = rng.permutation(np.repeat([1.0, 2.0, 3.0, 4.0], 2000)).astype(np.float32)
    layer = np.zeros(84_000, np.float32)
    layer[np.cumsum(10 + long) - 1] = values
    record = check(torch.from_numpy(layer))
    assert record.coding == 'sparse packed'
    assert record.part_sizes() == (16, 6 + 1000, 2000)


def test_the_paper_rate():
    """Han et al., section 3: r = n b / (n log2 k + k b), for indices of the same bits each."""
    weights = torch.arange(256).float().repeat_interleave(64)[torch.randperm(16384)]
    record = check(weights)
    assert record.coding == 'packed'
    rate = 16384 * 32 / (16384 * 8 + 256 * 32)
    assert record.decoded_size / record.size == pytest.approx(rate)


class TestGapBits:
    def test_convolutions_and_fully_connected(self):
        weights = rounded(pruned(normal(36_000), 0.02), 64)
        assert check(weights.reshape(-1, 4, 3, 3)).gaps.bits == 8
        assert check(weights.reshape(-1, 36)).gaps.bits == 5

    @pytest.mark.parametrize('bits', [0, 9, 2.5])
    def test_out_of_range(self, bits):
        with pytest.raises(CompressionError, match='conv_gap_bits'):
            PackSettings(conv_gap_bits=bits)


class TestPlainZeros:
    def test_a_mask_leaves_negative_zeros(self):
        weights = normal()
        masked = weights * (weights.abs() > 1.6)
        exact = check(masked)
        record, data = encode_tensor('x', masked, PackSettings(plain_zeros=True))
        assert record.size < 0.9 * exact.size
        back = decode_tensor(record, bytearray(data)).tensor
        assert torch.equal(back, masked) and not (back.signbit() & (back == 0)).any()
        assert masked.signbit().sum() > (masked < 0).sum()  # the argument is as it was

    def test_integers_have_none(self):
        tensor = torch.tensor([[-1, 0, 2]])
        record, data = encode_tensor('x', tensor, PackSettings(plain_zeros=True))
        assert torch.equal(decode_tensor(record, bytearray(data)).tensor, tensor)


class TestHalf:
    def test_rounds_what_would_be_raw(self):
        record, data = encode_tensor('x', normal(100), PackSettings(half=True))
        assert (record.coding, record.size) == ('raw float16', 200)
        back = decode_tensor(record, bytearray(data)).tensor
        assert back.dtype == torch.float32
        assert torch.equal(back, normal(100).half().float())

    @pytest.mark.parametrize(
        'tensor', [rounded(normal(), 16), torch.tensor([1e5, 0.1]), torch.rand(3).double()]
    )
    def test_leaves_the_rest_exact(self, tensor):
        check(tensor, PackSettings(half=True))

    def test_infinity_is_no_overflow(self):
        record, _ = encode_tensor('x', torch.tensor([math.inf, 0.1]), PackSettings(half=True))
        assert record.stored == 'float16'


def test_errors_name_the_tensor():
    with pytest.raises(CompressionError, match=r'head\.bias: 1 of 2 values are NaN'):
        encode_tensor('head.bias', torch.tensor([1.0, math.nan]))


def test_damaged_bytes():
    record, data = encode_tensor('x', normal(10))
    damaged = bytearray(data)
    damaged[3] ^= 1
    with pytest.raises(CompressionError, match='checksum'):
        decode_tensor(record, damaged)


def test_few_zeros_are_left_in_place():
    weights = normal()
    weights[:3] = 0
    assert check(weights).coding == 'raw'
    weights[::10] = 0
    assert check(weights).coding == 'sparse raw'
