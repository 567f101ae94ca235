"""L_re over the runs of several layers, in NumPy."""

import numpy as np
import pytest
import torch

from mmdet_lcp.pruning.problem import Candidate, Reconstruction
from mmdet_lcp.pruning.problem.selection_batch import shares_of_runs


def test_runs_count_by_what_they_write():
    """1 / 2Q sum over one image's outputs, Q over all runs of a layer together."""
    generator = torch.Generator().manual_seed(0)
    shapes = {'head': [(2, 3, 4, 4), (2, 3, 2, 2)], 'fc': [(2, 5)]}
    made = {
        path: [
            tuple(torch.randn(shape, generator=generator).double() for _ in range(2))
            for shape in own
        ]
        for path, own in shapes.items()
    }
    candidate = Candidate(
        dict.fromkeys(shapes),
        {path: [target for target, _ in runs] for path, runs in made.items()},
        None,
        None,
        run=lambda path: [output for _, output in made[path]],
        read=lambda: pytest.fail('the detector does not run for it'),
    )
    expected = 0.0
    for runs in made.values():
        squares = sum(((y - x).numpy() ** 2).sum() for x, y in runs)
        expected += squares / (2 * sum(x.numel() for x, _ in runs))
    found = Reconstruction().losses(candidate)
    assert list(found) == ['reconstruction']
    np.testing.assert_allclose(float(found['reconstruction']), expected, rtol=1e-12)
    assert shares_of_runs(candidate.targets['head']) == [0.8, 0.2]


@pytest.mark.parametrize('lie', [(True, True), (True, False), (False, True)])
def test_maps_may_lie_in_any_way(lie):
    """Channels last in memory, one of them or both."""
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, 3, 4, 5, generator=generator).double() for _ in range(2)]
    squares = np.square(maps[0].numpy() - maps[1].numpy())
    target, output = (
        x.contiguous(memory_format=torch.channels_last) if last else x
        for x, last in zip(maps, lie, strict=True)
    )
    output.requires_grad_()
    candidate = Candidate(
        {'conv': None}, {'conv': [target]}, None, None, run=lambda path: [output], read=dict
    )
    loss = Reconstruction().losses(candidate)['reconstruction']
    np.testing.assert_allclose(float(loss.detach()), squares.mean() / 2, rtol=1e-12)
    loss.backward()
    wanted = (maps[1] - maps[0]).detach().numpy() / squares.size
    np.testing.assert_allclose(output.grad.numpy(), wanted, rtol=1e-12)
