"""Random numbers that a resumed run draws again: one seed for each piece of work."""

import random
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.registry import FUNCTIONS


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """A seed for one piece of work; no two pieces of work share one.

    Args:
        seed: the run's seed.
        purpose: what is drawn, e.g. ``'epoch'``.
        numbers: which one of its kind, each >= 0.

    Returns:
        An integer in [0, 2**32).
    """
    key = (zlib.crc32(purpose.encode()), *numbers)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


def set_all(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Where Python's, NumPy's and PyTorch's global generators stand, as plain data and tensors."""
    kind, keys, *numbers = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': (kind, torch.tensor(keys.astype(np.int64)), *numbers),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the global generators where `random_state` found them."""
    random.setstate(state['python'])
    kind, keys, *numbers = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *numbers))
    torch.set_rng_state(state['torch'])
    if torch.cuda.is_available() and len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state['cuda'])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators for a while, then put them back."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():  # the generators of all devices
        set_all(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


@FUNCTIONS.register_module(name='mmdet_lcp_worker_seed')
def seed_worker(worker_id: int) -> None:
    """Seed a data loader's worker from the seed that PyTorch gave it for this epoch.

    mmengine's own function gives a worker the same seed in every epoch.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
