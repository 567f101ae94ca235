"""Means over images of losses and gradients, against the losses of all images written out."""

import pytest
import torch

from mmdet_lcp.pruning.problem import gradients
from mmdet_lcp.pruning.problem.gradients import Gradients, mean_gradients
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch

SIZES = (3, 1, 2)
GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


BATCHES = [SelectionBatch({'x': randn(n, 4)}, {'x': randn(n, 3)}, None) for n in SIZES]
WEIGHTS = {'a': randn(3, 4), 'b': randn(4), 'idle': randn(2)}


def terms(batch, weights):
    """Two means over a batch's images; the second does not know ``a``, and neither ``idle``."""
    (x,), (y,) = batch.inputs['x'], batch.targets['x']
    return {
        'fit': (x @ weights['a'].T * (1 + weights['b'].sum()) - y).square().sum(1).mean(),
        'shape': 2 * (x * weights['b']).sin().sum(1).mean(),
    }


def by_hand(batches, term):
    """Value and gradients of one term, image by image, the derivatives worked out."""
    a, b = WEIGHTS['a'], WEIGHTS['b']
    value, da, db = 0.0, torch.zeros_like(a), torch.zeros_like(b)
    images = [
        (x, y)
        for batch in batches
        for x, y in zip(batch.inputs['x'][0], batch.targets['x'][0], strict=True)
    ]
    for x, y in images:
        if term == 'fit':
            factor = 1 + b.sum()
            error = a @ x * factor - y
            value += float(error @ error) / len(images)
            da += 2 * factor * torch.outer(error, x) / len(images)
            db += 2 * (error @ (a @ x)) / len(images)
        else:
            value += 2 * float((x * b).sin().sum()) / len(images)
            db += 2 * (x * b).cos() * x / len(images)
    return value, {'a': da, 'b': db, 'idle': torch.zeros(2, dtype=torch.float64)}


def check(found: Gradients, apart_batches, batches=BATCHES):
    expected = {term: by_hand(batches, term) for term in ('fit', 'shape')}
    assert found.losses == {term: pytest.approx(v, rel=1e-12) for term, (v, _) in expected.items()}
    assert found.loss == pytest.approx(sum(value for value, _ in expected.values()), rel=1e-12)
    total = {k: sum(parts[k] for _, parts in expected.values()) for k in WEIGHTS}
    torch.testing.assert_close(found.total, total)
    of_some = {term: by_hand(apart_batches, term)[1] for term in ('fit', 'shape')}
    torch.testing.assert_close(found.by_term, of_some if apart_batches else {})


@pytest.mark.parametrize('apart', [None, 0, 1, 2, 9])
def test_every_image_counts_alike(apart):
    """Batches of three, one and two; each term by itself over the first ``apart`` of them."""
    found = mean_gradients(terms, BATCHES, WEIGHTS, apart)
    check(found, BATCHES[:apart])


def test_nothing_of_the_caller_is_touched():
    """Kernels may be a detector's own parameters, gradients off."""
    weights = {path: torch.nn.Parameter(weight.clone()) for path, weight in WEIGHTS.items()}
    weights['b'].requires_grad_(False)
    with torch.no_grad():
        found = mean_gradients(terms, BATCHES, weights, None)
        assert not torch.is_grad_enabled()
    check(found, BATCHES)
    assert [w.requires_grad for w in weights.values()] == [True, False, True]
    assert all(w.grad is None and torch.equal(w, WEIGHTS[k]) for k, w in weights.items())
    assert not any(g.requires_grad for g in found.total.values())


def test_losses_are_added_up_in_double_precision():
    """A thousand batches of one: float32 sums would be off by 1e-5."""
    value = torch.tensor(0.1)
    batches = [BATCHES[1]] * 1000
    weights = {'w': torch.ones(1)}
    found = mean_gradients(lambda _, w: {'t': value + 0 * w['w'].sum()}, batches, weights, 0)
    assert found.losses['t'] == pytest.approx(float(value), rel=1e-12)


def test_batches_may_come_only_once():
    check(mean_gradients(terms, iter(BATCHES), WEIGHTS, 1), BATCHES[:1])


def test_images_of_all_ranks(monkeypatch):
    """What two ranks add up is what one rank finds on the images of both."""
    sent = []
    monkeypatch.setattr(gradients.dist, 'all_reduce', lambda tensor: sent.append(tensor.clone()))
    mean_gradients(terms, BATCHES[:2], WEIGHTS, 1)
    theirs = iter(sent)
    monkeypatch.setattr(gradients.dist, 'all_reduce', lambda tensor: tensor.add_(next(theirs)))
    check(mean_gradients(terms, BATCHES[2:], WEIGHTS, 1), [BATCHES[0], BATCHES[2]])
    assert next(theirs, None) is None
