"""Seeds: one for each piece of work, and the global generators put back afterwards."""

import binascii
import random

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS

from mmdet_lcp.seeds import derive, seed_worker, seeded, set_all


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_derived_seeds_differ():
    numbers = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    keys = [(s, p, *rest) for s in range(5) for p in ('epoch', 'criterion') for rest in numbers]
    seeds = [derive(*key) for key in keys]
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) == len(keys)
    many = {derive(3, 'epoch', epoch, rank) for rank in range(8) for epoch in range(200)}
    assert len(many) == 1600
    assert derive(7, 'epoch', 2) == derive(7, 'epoch', 2)


def test_seeds_are_the_same_in_every_process():
    """NumPy promises its seed sequence across versions and machines."""
    key = (binascii.crc32(b'epoch'), 1, 9)
    expected = int(np.random.SeedSequence(5, spawn_key=key).generate_state(1, np.uint32)[0])
    assert derive(5, 'epoch', 1, 9) == expected


def test_set_all():
    set_all(3)
    first = draw()
    set_all(3)
    assert draw() == first
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    assert draw() == first


def test_seeded_puts_the_generators_back():
    set_all(11)
    before = [draw(), draw()]
    set_all(11)
    after = [draw()]
    with seeded(5):
        inside = draw()
    after.append(draw())
    assert after == before
    with pytest.raises(KeyError), seeded(5):
        assert draw() == inside
        raise KeyError
    set_all(11)
    draw()
    with seeded(6):
        assert draw() != inside
    assert draw() == before[1]


def test_workers_are_seeded_from_torch():
    torch.manual_seed(123)
    seed_worker(0)
    first = random.random(), np.random.rand()
    torch.manual_seed(124)
    seed_worker(0)
    second = random.random(), np.random.rand()
    assert first != second
    random.seed(123)
    np.random.seed(123)
    assert first == (random.random(), np.random.rand())
    assert FUNCTIONS.get('mmdet_lcp_worker_seed') is seed_worker


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return random.random() + np.random.rand()


def test_epochs_differ_in_a_worker_and_repeat_with_their_seed():
    loader = torch.utils.data.DataLoader(
        Noise(), batch_size=6, num_workers=1, worker_init_fn=seed_worker
    )

    def epoch(seed):
        set_all(seed)
        return next(iter(loader)).tolist()

    assert epoch(1) == epoch(1) != epoch(2)
