"""What a detector that cannot be scored by says of itself."""

import copy

import pytest
import small_ssd
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.modes import in_eval
from mmdet_lcp.selection import soundness
from mmdet_lcp.selection.images import SelectionImages, detection_loss
from mmdet_lcp.selection.soundness import check_sound, described, largest_output, loss_terms


@pytest.fixture(scope='module')
def sound():
    return small_ssd.build()


@pytest.fixture(scope='module')
def batches(sound):
    return small_ssd.draw(sound, num_images=4).batches


@pytest.fixture
def dense(sound):
    return copy.deepcopy(sound)


def unsettled(dense, variance: float) -> nn.Module:
    """As after a few iterations of training: the running statistics are far from the images'."""
    for module in dense.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(variance)
    return dense


def huge(dense) -> nn.Module:
    """Each batch norm multiplies by about 1e38, as it has no variance to divide by."""
    for module in dense.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.weight.data = 1e-38, module.weight.data * 1e19
    return dense


def told(dense, batches) -> list[str]:
    lines: list[str] = []
    check_sound(dense, batches, lines.append)
    return lines


def test_nothing_is_said_of_a_sound_detector(dense, batches):
    training = [module.training for module in dense.modules()]
    before = copy.deepcopy(dense.state_dict())
    assert told(dense, batches) == []
    assert [module.training for module in dense.modules()] == training
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


def test_figures_are_those_of_the_detector(dense, batches):
    with in_eval(dense), torch.no_grad():
        maps = dense(batches[0].inputs, mode='tensor')
        loss = float(detection_loss(dense, batches[0]))
    expected = max(float(leaf.abs().max()) for level in maps for leaf in level)
    assert largest_output(dense, batches[:1]) == pytest.approx(expected)
    terms = loss_terms(dense, batches[:1])
    assert set(terms) == {'loss_cls', 'loss_bbox'}
    assert sum(terms.values()) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_a_broken_weight_is_named(dense, batches, value):
    dense.backbone.stage3[0].conv.weight.data[0, 0, 0, 0] = value
    with pytest.raises(CompressionError, match=r'inf in the weights backbone\.stage3\.0\.conv'):
        told(dense, batches)


def test_a_detector_whose_outputs_overflow(dense, batches):
    """Its weights are finite: they are not to blame."""
    with pytest.raises(CompressionError) as error:
        told(huge(unsettled(dense, 0.0)), batches)
    text = str(error.value)
    assert 'its weights are finite; its outputs are not finite' in text
    assert 'running statistics of its batch norms are not settled' in text
    assert 'load_from a detector that was trained to its end' in text


def test_a_loss_that_is_not_finite_is_told(dense, batches, monkeypatch):
    """Criteria that do not read it can work: it is no error."""
    head = dense.bbox_head
    own = head.loss

    def loss(*args):
        found = own(*args)
        return {**found, 'loss_bbox': [found['loss_bbox'][0] * torch.inf]}

    monkeypatch.setattr(head, 'loss', loss)
    (line,) = told(dense, batches)
    assert 'its weights are finite; its outputs are up to ' in line
    assert 'its loss is inf (loss_cls ' in line and 'loss_bbox inf)' in line


def test_outputs_far_above_those_with_own_statistics(dense, batches):
    text = described(unsettled(dense, 1e-8), batches)
    assert 'with the statistics of these images: the running statistics' in text
    assert 'not settled' not in described(small_ssd.build(), batches)


def test_without_a_loss(dense, batches, monkeypatch):
    """Networks of one's own, and heads of mmdet that have none in eval mode."""
    net = nn.Conv2d(3, 2, 1)
    assert told(net, [SelectionImages(torch.randn(1, 3, 4, 4), None)]) == []
    net.weight.data[0] = torch.nan
    with pytest.raises(CompressionError, match='nan or inf in the weights weight'):
        told(net, [SelectionImages(torch.randn(1, 3, 4, 4), None)])

    def loss(*_):
        raise TypeError('only in training')

    monkeypatch.setattr(dense.bbox_head, 'loss', loss)
    assert told(dense, batches) == []
    assert 'cannot be taken (TypeError: only in training)' in described(dense, batches)


def test_every_rank_hears_of_it(dense, batches, monkeypatch):
    monkeypatch.setattr(soundness.dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(soundness.dist, 'all_gather_object', lambda own: [own, (True, 'it broke')])
    with pytest.raises(CompressionError, match='it broke'):
        told(dense, batches)
