import numpy as np
import pytest

from mmdet_lcp.codec import codebook


@pytest.fixture(params=[10, 1 << 18], autouse=True)
def chunk(request, monkeypatch):
    monkeypatch.setattr(codebook, 'CHUNK', request.param)
    monkeypatch.setattr(codebook, 'FIRST_CHUNK', 3)


@pytest.mark.parametrize('count', [1, 2, 255, 256])
def test_finds_the_values_and_their_indices(count):
    rng = np.random.default_rng(count)
    values = np.sort(rng.choice(2**32, count, replace=False).astype(np.uint32))
    chosen = rng.integers(0, count, 3000)
    chosen[:count] = np.arange(count)[::-1]
    found = codebook.distinct(values[chosen], 256)
    assert found.dtype == np.uint32 and found.tolist() == values.tolist()
    assert codebook.indices(values[chosen], found).tolist() == chosen.tolist()


def test_too_many_and_none():
    assert codebook.distinct(np.arange(257, dtype=np.uint32), 256) is None
    assert codebook.distinct(np.zeros(0, np.uint32), 256).tolist() == []
