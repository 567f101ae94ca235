import numpy as np
import pytest
import torch

from mmdet_lcp.losses import reconstruction_loss


def test_by_hand():
    # One image, Q = 1 * 2 * 2 = 4, differences 1, 2, 0, 3: (1 + 4 + 9) / (2 * 4).
    target = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    output = torch.tensor([[[[0.0, 4.0], [3.0, 1.0]]]])
    assert reconstruction_loss(target, output).item() == pytest.approx(14 / 8)


def test_is_the_mean_over_images():
    rng = np.random.default_rng(0)
    target, output = rng.normal(size=(2, 3, 4, 5, 6))
    expected = np.mean(
        [((f - x) ** 2).sum() / (2 * 4 * 5 * 6) for f, x in zip(target, output, strict=True)]
    )
    value = reconstruction_loss(torch.from_numpy(target), torch.from_numpy(output))
    assert value.item() == pytest.approx(expected)


def test_gradient_of_the_kernel():
    """dL/dW of a 1 x 1 convolution is -1/Q sum (F - XW) X, averaged over the images."""
    rng = np.random.default_rng(1)
    x, target, weight = (
        rng.normal(size=(2, 3, 7)),
        rng.normal(size=(2, 2, 7)),
        rng.normal(size=(2, 3)),
    )
    kernel = torch.from_numpy(weight).requires_grad_()
    output = torch.einsum('oc,ncp->nop', kernel, torch.from_numpy(x))
    reconstruction_loss(torch.from_numpy(target), output).backward()
    residual = target - np.einsum('oc,ncp->nop', weight, x)
    expected = -np.einsum('nop,ncp->oc', residual, x) / (2 * 7) / 2
    np.testing.assert_allclose(kernel.grad.numpy(), expected)


def test_target_is_fixed():
    target = torch.ones(1, 1, 2, 2, requires_grad=True)
    output = torch.zeros(1, 1, 2, 2, requires_grad=True)
    reconstruction_loss(target, output).backward()
    assert target.grad is None
    assert (output.grad == -0.25).all()


def test_half_precision_does_not_overflow():
    value = reconstruction_loss(torch.full((1, 2), 300.0).half(), torch.zeros(1, 2).half())
    assert value.item() == 45000.0
    assert value.dtype == torch.float32


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'\(1, 2, 3, 3\)'):
        reconstruction_loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))
