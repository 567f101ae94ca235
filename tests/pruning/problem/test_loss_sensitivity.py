"""Gradients of the detector's own loss at its layers' outputs."""

import copy

import pytest
import small_ssd
import torch
import torch.utils.checkpoint

from mmdet_lcp.pruning.problem.loss_sensitivity import LossSensitivity

PATHS = ['backbone.stage3.1.conv', 'bbox_head.cls_convs.1.0']


@pytest.fixture(scope='module')
def dense():
    return small_ssd.build()


@pytest.fixture(scope='module')
def batches(dense):
    return small_ssd.draw(dense, num_images=6).batches


@pytest.fixture(scope='module')
def measured(dense, batches) -> LossSensitivity:
    found = LossSensitivity()
    found.measure(dense, batches, PATHS, dict.fromkeys(PATHS, 1))
    return found


@pytest.mark.parametrize('path', PATHS)
def test_against_one_gradient_a_tensor_by_hand(dense, batches, measured, path):
    """Per image and position, and E[g g']."""
    metric, rows = 0, 0
    detector = copy.deepcopy(dense).requires_grad_(True).eval()
    for batch, squares in zip(batches, measured.squares, strict=True):
        kept = []
        hook = detector.get_submodule(path).register_forward_hook(
            lambda module, args, output, kept=kept: kept.append(output.clone()) or kept[0]
        )
        losses = detector.loss(batch.inputs, batch.data_samples)
        hook.remove()
        total = sum(value for values in losses.values() for value in values)
        (gradient,) = torch.autograd.grad(total, kept)
        torch.testing.assert_close(
            squares[path][0], gradient.square().sum(1).flatten(1), rtol=1e-3, atol=1e-12
        )
        metric = metric + torch.einsum('nchw,ndhw->cd', gradient, gradient)
        rows += gradient[:, 0].numel()
    expected = (metric / rows).double()
    torch.testing.assert_close(
        measured.metrics[path], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
    )


def test_the_detector_stays_as_it_was(dense, measured):
    assert not dense.training
    assert not any(p.requires_grad or p.grad is not None for p in dense.parameters())


def test_what_is_known_is_not_measured_again(dense, batches, measured, monkeypatch):
    def fail(*_):
        raise AssertionError('measured again')

    monkeypatch.setattr('mmdet_lcp.pruning.problem.loss_sensitivity.detection_loss', fail)
    before = measured.squares
    measured.measure(dense, batches, PATHS[:1], dict.fromkeys(PATHS, 1))
    assert measured.squares is before
    with pytest.raises(AssertionError, match='measured again'):
        measured.measure(dense, batches, ['backbone.stage4.0.conv'], {})


def test_where_the_loss_does_not_reach(dense, batches, monkeypatch):
    """A loss of the deepest level alone does not reach the heads of the first."""

    def loss(detector, images):
        scores = detector(images.inputs, images.data_samples, mode='tensor')[0]
        return scores[-1].square().mean()

    monkeypatch.setattr('mmdet_lcp.pruning.problem.loss_sensitivity.detection_loss', loss)
    paths = ['backbone.stage3.1.conv', 'bbox_head.cls_convs.0.0']
    found = LossSensitivity()
    found.measure(dense, batches, paths, dict.fromkeys(paths, 1))
    assert list(found.metrics) == paths[:1]
    assert all(squares[paths[1]][0].abs().max() == 0 for squares in found.squares)
    assert all(squares[paths[0]][0].abs().max() > 0 for squares in found.squares)


def test_runs_of_the_loss_alone_are_left_out(dense, batches):
    """Their positions are not those of the outputs that a reconstruction sees."""
    found = LossSensitivity()
    found.measure(dense, batches, PATHS, {PATHS[0]: 2, PATHS[1]: 1})
    assert all(squares[PATHS[0]] == [] for squares in found.squares)
    assert all(len(squares[PATHS[1]]) == 1 for squares in found.squares)
    assert set(found.metrics) == set(PATHS)


def test_the_gradient_ends_where_it_is_asked_for_last(dense, batches):
    """What runs before the first layers has no gradient; of two side by side both have theirs."""
    paths = ['bbox_head.cls_convs.1.0', 'bbox_head.reg_convs.1.0']  # they read the same map
    seen = []
    hook = dense.get_submodule('backbone').register_forward_hook(
        lambda module, args, outputs: seen.extend(output.requires_grad for output in outputs)
    )
    try:
        alone, together = LossSensitivity(), LossSensitivity()
        alone.measure(dense, batches, paths, dict.fromkeys(paths, 1))
        assert seen and not any(seen)
        first = ['backbone.stage1.0.conv', *paths]
        together.measure(dense, batches, first, dict.fromkeys(first, 1))
    finally:
        hook.remove()
    for path in paths:
        torch.testing.assert_close(alone.metrics[path], together.metrics[path])


@pytest.mark.parametrize('learning', [False, True])
def test_checkpointed_layers_and_learning_ones_are_measured_alike(
    dense, batches, measured, learning, monkeypatch
):
    detector = copy.deepcopy(dense)
    block = detector.get_submodule('backbone.stage3.1')
    if learning:
        block.conv.weight.requires_grad_(True)
    else:
        run = block.forward
        monkeypatch.setattr(
            block,
            'forward',
            lambda x: torch.utils.checkpoint.checkpoint(run, x, use_reentrant=False),
        )
    found = LossSensitivity()
    found.measure(detector, batches, PATHS, dict.fromkeys(PATHS, 1))
    assert set(found.metrics) == set(PATHS)
    for path in PATHS:
        torch.testing.assert_close(found.metrics[path], measured.metrics[path])
