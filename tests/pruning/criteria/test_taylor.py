"""Taylor importance: by hand on a linear model, by finite differences on a small SSD."""

import math

import numpy as np
import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from producers import best, make
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import Taylor, taylor
from mmdet_lcp.selection.images import SelectionImages, detection_loss

# Of the group's three channels: two layers write them, each in its own order.
MAPS = {'a': ([0, 1, 2], [0, 1, 2]), 'b': ([4, 0, 3, 1], [2, 0, 1, 2])}


class Toy(nn.Module):
    """loss = mean over images of |a + b - y|^2, with `b` scattered over the outputs of `a`."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(2, 3), nn.Linear(2, 5), nn.Linear(2, 3)
        self.noise = noise

    def loss(self, inputs, targets):
        index, root = (torch.tensor(values) for values in MAPS['b'])
        out = self.a(inputs).index_add(1, root, self.b(inputs)[:, index])
        out = out + self.noise * torch.rand(3)
        return {'loss': (out - torch.stack(targets)).square().sum(1).mean()}

    def parse_losses(self, losses):
        return losses['loss'], {}


def toy_problem(sizes=(3, 1), seed=0, paths=('a', 'b'), **keys):
    torch.manual_seed(seed)
    detector = Toy(**keys)
    images = [SelectionImages(torch.randn(n, 2), None, list(torch.randn(n, 3))) for n in sizes]
    maps = {path: (getattr(detector, path), *MAPS.get(path, MAPS['a'])) for path in paths}
    return make(maps, 3, detector=detector, images=images)


def by_hand(problem):
    """The scores of a toy problem, in NumPy."""
    layers = {
        path: (layer.module, layer.index.tolist(), layer.root.tolist())
        for path, layer in problem.producers.items()
    }
    total, count = np.zeros(3), 0
    for images in problem.images:
        x = images.inputs.double().numpy()
        y = torch.stack(images.data_samples).double().numpy()
        out = np.zeros_like(y)
        for module, index, root in layers.values():
            w, bias = (v.detach().double().numpy() for v in (module.weight, module.bias))
            for i, k in zip(index, root, strict=True):
                out[:, k] += x @ w[i] + bias[i]
        for module, index, root in layers.values():
            w = module.weight.detach().double().numpy()
            for i, k in zip(index, root, strict=True):
                gradient = 2 * ((out[:, k] - y[:, k])[:, None] * x).mean(0)
                total[k] += len(x) * (gradient @ w[i]) ** 2
        count += len(x)
    return total / count


@pytest.mark.parametrize('sizes', [(4,), (3, 1), (1, 2, 2)])
def test_by_hand(sizes):
    for seed in range(4):
        problem = toy_problem(sizes, seed)
        expected = by_hand(problem)
        for keep in (1, 2, 3):
            selection = Taylor().select(problem, keep)
            np.testing.assert_allclose(selection.scores, expected, rtol=1e-4)
            assert selection.keep == best(expected, keep)


def test_gradients_of_opposite_batches_do_not_cancel():
    """Squares are averaged, as in the paper, not the gradients."""
    problem = toy_problem((1, 1))
    with torch.no_grad():
        problem.detector.b.weight.zero_()
        problem.detector.b.bias.zero_()
        problem.detector.a.bias.zero_()
    first, second = problem.images
    second.inputs = first.inputs
    out = problem.detector.a(first.inputs)[0].detach()
    first.data_samples, second.data_samples = [out + 1], [out - 1]
    # dL/dz = sum_s g_s w_s = -+2 w x
    np.testing.assert_allclose(Taylor().select(problem, 1).scores, 4 * out**2, rtol=1e-4)


def test_images_of_all_ranks(monkeypatch):
    """What two ranks add up is what one rank finds on all images."""
    together = toy_problem((3, 1, 2))
    expected = by_hand(together)
    sent = []
    monkeypatch.setattr(taylor.dist, 'all_reduce', lambda tensor: sent.append(tensor.clone()))
    other = toy_problem((3, 1, 2))
    other.images = other.images[:1]
    Taylor().select(other, 1)
    theirs = iter(sent)
    monkeypatch.setattr(taylor.dist, 'all_reduce', lambda tensor: tensor.add_(next(theirs)))
    mine = toy_problem((3, 1, 2))
    mine.images = mine.images[1:]
    np.testing.assert_allclose(Taylor().select(mine, 1).scores, expected, rtol=1e-4)
    assert next(theirs, None) is None


def test_random_draws_of_the_loss_are_repeated():
    """Two-stage detectors draw regions."""
    problem = toy_problem(noise=5.0)
    problem.seed = 3
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = Taylor().select(problem, 1).scores
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert Taylor().select(problem, 1).scores == first
    problem.seed = 4
    assert Taylor().select(problem, 1).scores != first


def test_a_group_that_the_loss_does_not_see():
    # Beside a layer that needs gradients, since a detector's loss always has some.
    with pytest.raises(CompressionError, match=r'some\.group: the loss .* does not depend on it'):
        Taylor().select(toy_problem(paths=('unused',)), 1)


def test_broken_weights():
    problem = toy_problem()
    problem.detector.a.weight.data[1, 0] = math.nan
    with pytest.raises(CompressionError, match=r'some\.group: .*not finite'):
        Taylor().select(problem, 1)


# ------------------------------------------------------------------ on a small SSD

FIRST = 'backbone.stage1.0.conv'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tiny.make_config(tmp_path_factory.mktemp('ssd'), 'no/data')
    return Config.fromfile(path).model


@pytest.fixture
def detector(model):
    torch.manual_seed(0)
    detector = MODELS.build(model)
    detector.init_weights()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return detector


def images_of(sizes=(2, 1), objects=2):
    torch.manual_seed(1)
    shape = dict.fromkeys(('img_shape', 'pad_shape', 'batch_input_shape'), (tiny.SIZE, tiny.SIZE))
    batches = []
    for size in sizes:
        samples = []
        for _ in range(size):
            corner = 30 * torch.rand(objects, 2)
            sample = DetDataSample(metainfo=shape)
            sample.gt_instances = InstanceData(
                bboxes=torch.cat([corner, corner + 10 + 20 * torch.rand(objects, 2)], 1),
                labels=torch.arange(objects),
            )
            samples.append(sample)
        inputs = torch.randn(size, 3, tiny.SIZE, tiny.SIZE)
        batches.append(SelectionImages(inputs, None, samples))
    return batches


def ssd_problem(detector, images=None):
    layer = detector.get_submodule(FIRST)
    order = list(range(layer.out_channels))
    maps = {FIRST: (layer, order, order)}
    return make(maps, len(order), detector=detector, images=images or images_of())


def test_finite_differences(detector):
    detector.double()
    problem = ssd_problem(detector)
    for images in problem.images:
        images.inputs = images.inputs.double()
    detector.train()  # the losses are those of eval mode all the same
    found = Taylor().select(problem, 3)

    detector.eval()
    weight = detector.get_submodule(FIRST).weight
    step, expected = 1e-6, []  # short of the next kink of a ReLU or of a max-pooling
    for k in range(problem.channels):
        score = 0.0
        for images in problem.images:
            losses = []
            for gate in (1 + step, 1 - step):
                before = weight[k].detach().clone()
                with torch.no_grad():
                    weight[k] *= gate
                    losses.append(float(detection_loss(detector, images)))
                    weight[k] = before
            score += len(images.inputs) * ((losses[0] - losses[1]) / (2 * step)) ** 2
        expected.append(score / 3)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
    assert found.keep == best(expected, 3)
    assert min(expected) > 0


@pytest.mark.parametrize('frozen', [True, False])
def test_the_detector_stays_as_it_is(detector, frozen):
    detector.train()
    detector.backbone.eval()
    for number, parameter in enumerate(detector.parameters()):
        parameter.requires_grad_((number % 3 > 0) == frozen)
        if number % 2:
            parameter.grad = torch.randn_like(parameter)
    problem = ssd_problem(detector)

    def state():
        return (
            {key: value.clone() for key, value in detector.state_dict().items()},
            [parameter.requires_grad for parameter in detector.parameters()],
            [None if p.grad is None else p.grad.clone() for p in detector.parameters()],
            [module.training for module in detector.modules()],
        )

    assert detector.get_submodule(FIRST).weight.requires_grad != frozen
    weights, flags, gradients, modes = state()
    Taylor().select(problem, 3)
    weights_now, flags_now, gradients_now, modes_now = state()
    assert all(torch.equal(weights_now[key], value) for key, value in weights.items())
    assert (flags_now, modes_now) == (flags, modes)
    for now, before in zip(gradients_now, gradients, strict=True):
        assert (now is None) == (before is None)
        assert now is None or torch.equal(now, before)


def test_frozen_layers(detector):
    problem = ssd_problem(detector)
    expected = Taylor().select(problem, 3).scores
    detector.requires_grad_(False)
    np.testing.assert_allclose(Taylor().select(problem, 3).scores, expected, rtol=1e-5)
    assert not any(p.requires_grad for p in detector.parameters())


def test_frozen_layers_after_an_error(detector):
    detector.requires_grad_(False)
    problem = ssd_problem(detector.train())
    del problem.images[1].data_samples[0].gt_instances
    with pytest.raises(AttributeError):
        Taylor().select(problem, 3)
    assert not any(p.requires_grad for p in detector.parameters())
    assert all(module.training for module in detector.modules())


def test_full_precision_and_gradients_whatever_the_caller_has_set(detector):
    problem = ssd_problem(detector)
    expected = Taylor().select(problem, 3).scores
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        found = Taylor().select(problem, 3).scores
        assert not torch.is_grad_enabled() and torch.is_autocast_enabled('cpu')
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_images_without_objects(detector):
    with pytest.raises(CompressionError, match=r'some\.group: .* Check that these have objects'):
        Taylor().select(ssd_problem(detector, images_of((2,), objects=0)), 3)
