"""Batches of one entry a run of a layer, and their cache."""

import pytest
import torch

from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.selection.images import SelectionImages


def test_a_tensor_is_one_run():
    x, y, z = torch.rand(2, 3), torch.rand(2, 4), torch.rand(5, 4)
    batch = SelectionBatch({'a': x, 'b': [x, x]}, {'a': y, 'b': (y, z)}, None)
    assert batch.inputs == {'a': [x], 'b': [x, x]}
    assert batch.targets == {'a': [y], 'b': [y, z]}
    assert batch.shares('a') == [1.0]
    assert batch.shares('b') == [8 / 28, 20 / 28]
    assert [len(tensor) for tensor in batch.tensors()] == [2, 2, 2, 2, 2, 5]


def test_how_many_images():
    regions = {'a': torch.rand(7, 3)}
    assert SelectionBatch(regions, regions, None).num_images == 7  # all there is to go by
    assert SelectionBatch(regions, regions, None, boxes=[torch.empty(0, 4)] * 3).num_images == 3
    images = SelectionImages(torch.rand(2, 3, 4, 4), None)
    assert SelectionBatch(regions, regions, None, images=images).num_images == 2


def test_owners():
    owner = torch.tensor([0, 0, 1])
    batch = SelectionBatch({}, {}, None, owners={'a': [None, owner]})
    assert batch.owner('a', 0) is None
    assert batch.owner('a', 1) is owner
    assert batch.owner('b', 0) is None


class Counted:
    """Batches of 8 + 8 float64 numbers = 128 bytes each; counts how often they are computed."""

    def __init__(self, count: int) -> None:
        self.count, self.passes = count, 0

    def __call__(self):
        self.passes += 1
        for number in range(self.count):
            value = torch.full((1, 8), float(number), dtype=torch.float64)
            yield SelectionBatch({'a': value}, {'a': value + 0.5}, None)


def numbers(cache):
    return [float(batch.inputs['a'][0][0, 0]) for batch in cache]


@pytest.mark.parametrize(('limit', 'passes'), [(384, 1), (383, 3), (0, 3)])
def test_the_cache_keeps_what_fits(limit, passes):
    compute = Counted(3)
    cache = BatchCache(compute, limit)
    for _ in range(3):
        assert numbers(cache) == [0, 1, 2]
    assert compute.passes == passes


def test_room_for_what_belongs_to_the_batches():
    cache = BatchCache(Counted(3), 500)
    assert not cache.room_for(0)  # nothing is kept yet
    numbers(cache)
    assert [cache.room_for(size) for size in (117, 100, 17, 16, 0)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    cache.clear()
    assert not cache.room_for(0)
    numbers(cache)
    assert cache.room_for(116)


def test_no_room_where_batches_do_not_fit():
    cache = BatchCache(Counted(3), 383)
    numbers(cache)
    assert not cache.room_for(0)


def test_the_cache_forgets():
    compute = Counted(2)
    cache = BatchCache(compute, 1000)
    numbers(cache)
    cache.clear()
    assert numbers(cache) == [0, 1]
    assert compute.passes == 2


def test_a_pass_that_is_left_early_is_not_kept():
    compute = Counted(3)
    cache = BatchCache(compute, 1000)
    for _ in cache:
        break
    assert numbers(cache) == [0, 1, 2]


def test_one_pass_keeps_nothing_but_takes_what_is_kept():
    compute = Counted(3)
    cache = BatchCache(compute, 1000)
    assert numbers(cache.once()) == numbers(cache.once()) == [0, 1, 2]
    assert compute.passes == 2
    assert not cache.room_for(0)
    numbers(cache)
    assert numbers(cache.once()) == [0, 1, 2]
    assert compute.passes == 3
