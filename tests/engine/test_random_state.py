"""A training that goes on draws what it would have drawn."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdet_lcp.engine.random_state import FOLDER, RandomStateHook
from mmdet_lcp.errors import CompressionError


def drawn() -> tuple[float, float, float, float]:
    return random.gauss(0, 1), np.random.normal(), np.random.random(), float(torch.randn(()))


def run(folder, epochs: range, rank: int = 0, validated: bool = True) -> list:
    """What the epochs of a training draw; the hook comes before each."""
    runner = SimpleNamespace(work_dir=str(folder), rank=rank, epoch=epochs.start)
    hook = RandomStateHook()
    hook.before_train(runner)
    found = []
    for runner.epoch in epochs:
        hook.before_train_epoch(runner)
        found.append((drawn(), drawn(), drawn()))
        hook.after_train_epoch(runner)
        if validated:
            np.random.random()
    return found


@pytest.mark.parametrize('stopped', [1, 2, 3])
def test_goes_on_as_if_it_had_not_been_stopped(tmp_path, stopped):
    whole = run(tmp_path, range(4))
    assert len({*whole}) == 4
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert run(tmp_path, range(stopped, 4)) == whole[stopped:]


def test_stopped_behind_the_checkpoint_and_before_the_next_epoch(tmp_path):
    """What the end of an epoch has written is enough where nothing is drawn in between."""
    random.seed(4), np.random.seed(4), torch.manual_seed(4)
    run(tmp_path, range(2), validated=False)
    expected = drawn(), drawn(), drawn()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert run(tmp_path, range(2, 3)) == [expected]


def test_it_only_looks(tmp_path):
    """The numbers of a run are those of one without the hook."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    found = run(tmp_path, range(1))[0][0]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert drawn() == found


def test_a_training_from_the_beginning_takes_nothing_over(tmp_path):
    run(tmp_path, range(2))
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    assert run(tmp_path, range(1)) != run(tmp_path, range(1))


def test_ranks_have_their_own(tmp_path):
    run(tmp_path, range(1), rank=1)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [
        'epoch_0_rank_1.pth',
        'epoch_1_rank_1.pth',
    ]


def test_a_damaged_file_is_named(tmp_path):
    run(tmp_path, range(2))
    (tmp_path / FOLDER / 'epoch_1_rank_0.pth').write_bytes(b'PK')
    with pytest.raises(CompressionError, match=r'epoch_1_rank_0\.pth'):
        run(tmp_path, range(1, 2))
