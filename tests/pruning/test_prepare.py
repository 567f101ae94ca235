"""Training images for a job: drawn once, of the asked number; lines for the user."""

from types import SimpleNamespace

import pytest

from mmdet_lcp.pruning import prepare
from mmdet_lcp.pruning.distill import DistillConfig
from mmdet_lcp.selection.config import SelectionConfig


def runner_of(batch_size=4):
    loader = SimpleNamespace(dataset='data set', batch_size=batch_size)
    cfg = SimpleNamespace(train_dataloader=dict(batch_size=6))
    return SimpleNamespace(train_dataloader=loader, cfg=cfg, seed=3)


@pytest.fixture
def asked(monkeypatch):
    """What `draw_images` is asked for."""
    calls = []

    def draw(dataset, dense, selection, batch_size, seed, **more):
        calls.append((dataset, dense, selection.num_images, batch_size, seed, more))
        return ['a batch']

    monkeypatch.setattr(prepare, 'draw_images', draw)
    return calls


def test_images_of_a_batch():
    assert prepare.training_batch_size(runner_of()) == 4
    assert prepare.training_batch_size(runner_of(None)) == 6  # a batch sampler has it


def test_some_others(asked):
    selection = SelectionConfig(num_images=16)
    found = prepare.drawn(runner_of(), 'dense', selection, 5, called='to look at', skip=16)
    assert found == ['a batch']
    assert asked == [('data set', 'dense', 5, 4, 3, dict(skip=16, called='to look at'))]
    assert selection.num_images == 16


@pytest.mark.parametrize(('count', 'drawn'), [(15, False), (16, False), (17, True)])
def test_images_to_distill_on(asked, count, drawn):
    """The selection images where they are enough."""
    job = SimpleNamespace(dense='dense', images=SimpleNamespace(batches=['kept']))
    config = SimpleNamespace(
        distill=DistillConfig(num_images=count), selection=SelectionConfig(num_images=16)
    )
    found = prepare.images_to_distill_on(runner_of(), job, config)
    assert found == (['a batch'] if drawn else ['kept'])
    assert [call[2] for call in asked] == ([count] if drawn else [])


def test_what_is_left_alone():
    skipped = [SimpleNamespace(name='neck.a', reason='too small')]
    lines = prepare.left_alone(SimpleNamespace(skipped=skipped))
    assert lines == ['1 are left alone:', '  neck.a: too small']
