"""One ranking over several layers, against the definition and NumPy's order."""

import numpy as np
import pytest
import torch

from mmdet_lcp.transforms.ranking import fewest_left, lamp_scores, masks_by_ranking


def layers() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        'a': torch.randn(6, 5, generator=generator),
        'b': 10 * torch.randn(4, 3, 2, 2, generator=generator),
        'c': 0.1 * torch.randn(20, generator=generator),
    }


def test_lamp_is_what_the_paper_defines():
    weight = torch.tensor([[0.5, -2.0, 0.0], [1.0, -1.5, 3.0]])
    flat = weight.flatten().tolist()
    expected = [w * w / sum(v * v for v in flat if abs(v) >= abs(w)) for w in flat]
    assert lamp_scores(weight).flatten().tolist() == pytest.approx(expected)
    assert float(lamp_scores(weight).max()) == 1.0


def test_lamp_does_not_see_the_scale_of_a_layer():
    weights = layers()
    scaled = {**weights, 'a': 1000 * weights['a']}
    for sparsity in (0.3, 0.8):
        before = masks_by_ranking(weights, sparsity, 'lamp', 0.99)
        after = masks_by_ranking(scaled, sparsity, 'lamp', 0.99)
        assert all(torch.equal(before[path], after[path]) for path in weights)


@pytest.mark.parametrize('sparsity', [0.0, 0.3, 0.5])
def test_magnitudes_of_all_layers_together(sparsity):
    weights = layers()
    magnitudes = np.concatenate([w.abs().numpy().ravel() for w in weights.values()])
    gone = int(np.floor(sparsity * len(magnitudes) + 0.5))
    expected = np.ones(len(magnitudes), bool)
    expected[np.argsort(magnitudes, kind='stable')[:gone]] = False
    masks = masks_by_ranking(weights, sparsity, 'magnitude', 0.999)
    found = np.concatenate([mask.numpy().ravel() for mask in masks.values()])
    small = slice(len(found) - 20, None)  # of `c`, all would go: one has to stay
    if sparsity < 0.3:
        assert np.array_equal(found, expected)
    assert [mask.shape for mask in masks.values()] == [w.shape for w in weights.values()]
    assert (~found).sum() == gone
    if not expected[small].any():
        assert found[small].sum() == 1


@pytest.mark.parametrize('score', ['magnitude', 'lamp'])
def test_no_layer_loses_more_than_it_may(score):
    weights = layers()
    masks = masks_by_ranking(weights, 0.7, score, 0.75)
    total = sum(w.numel() for w in weights.values())
    assert sum(int((~m).sum()) for m in masks.values()) == int(0.7 * total + 0.5)
    for path, mask in masks.items():
        assert int(mask.sum()) >= int(np.ceil(0.25 * mask.numel()))
        # what stays in a layer is larger than what goes
        magnitudes = weights[path].abs()
        assert mask.all() or magnitudes[mask].min() > magnitudes[~mask].max()


def test_as_much_goes_as_may_go():
    masks = masks_by_ranking(layers(), 0.99, 'magnitude', 0.5)
    assert [int(m.sum()) for m in masks.values()] == [15, 24, 10]


@pytest.mark.parametrize(
    ('count', 'most', 'left'), [(100, 0.99, 1), (100, 0.9, 10), (3, 0.99, 1), (1000, 0.9, 100)]
)
def test_fewest_left(count, most, left):
    assert fewest_left(count, most) == left
