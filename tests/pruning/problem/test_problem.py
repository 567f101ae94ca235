"""The selection problem against explicit losses, finite differences and closed forms."""

import math
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import close
from ranks import be_the_other_rank, on_two_ranks
from torch import nn

from mmdet_lcp.auxiliary.loss_terms import AuxiliaryTerm
from mmdet_lcp.auxiliary.network import AuxiliaryNetwork
from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import LCP, BackwardElimination
from mmdet_lcp.pruning.problem.descent import descend
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.reconstruction import Reconstruction
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.loss_term import LossTerm

CODER = dict(
    type='mmdet.DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
)


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize('with_auxiliary', [False, True])
@pytest.mark.parametrize('at', ['full', 'zero', 'some'])
def test_gradients_are_those_of_the_explicit_loss(make_problem, quadratic, with_auxiliary, at):
    made = make_problem(
        auxiliary=quadratic() if with_auxiliary else None, reconstruction=0.7, alpha=2.0
    )
    keep = {'full': range(5), 'zero': [], 'some': [1, 4]}[at]
    weights = made.zeroed(made.problem.weights(), list(keep))
    found = made.problem.gradients(weights, apart=None)
    factors = dict(reconstruction=0.7, alpha=2.0)
    close(found.loss, float(made.loss(weights, **factors)))
    expected = made.grad(weights, **factors)
    assert list(found.total) == ['conv', 'cat', 'fc']
    for path, gradient in found.total.items():
        close(gradient, expected[path])
    close(made.problem.per_channel(found.total), made.sensitivity(weights, **factors))
    names = dict(reconstruction='re', classification='cls', regression='box')
    assert set(found.by_term) == (set(names) if with_auxiliary else {'reconstruction'})
    for term, by_path in found.by_term.items():
        value = made.loss(weights, terms=(names[term],), **factors)
        close(found.losses[term], float(value))
        expected = made.grad(weights, terms=(names[term],), **factors)
        for path, gradient in expected.items():
            close(by_path[path], gradient)


def test_gradients_by_finite_differences(make_problem, quadratic):
    made = make_problem(auxiliary=quadratic(), reconstruction=0.7, alpha=2.0)
    weights = made.problem.masked(made.problem.weights(), [0, 2, 3])
    gradient = made.problem.gradients(weights).total
    generator = torch.Generator().manual_seed(5)
    step = 1e-5
    for path, weight in weights.items():
        for flat in torch.randperm(weight.numel(), generator=generator)[:8].tolist():
            values = []
            for sign in (1, -1):
                moved = {k: v.clone() for k, v in weights.items()}
                moved[path].view(-1)[flat] += sign * step
                values.append(float(made.loss(moved, reconstruction=0.7, alpha=2.0)))
            slope = (values[0] - values[1]) / (2 * step)
            close(gradient[path].view(-1)[flat], slope, 1e-7)


def test_gradient_at_zero_kernels_in_closed_form(make_problem):
    """dL_re/dW = -1/(Q N) sum over images and places of (F - b) x, here in NumPy."""
    made = make_problem()
    weights = made.problem.masked(made.problem.weights(), [])
    found = made.problem.gradients(weights, apart=None).by_term['reconstruction']['conv'].numpy()
    bias = made.layers['conv'].bias.detach().numpy()
    expected = np.zeros((4, 5, 3, 3))
    images = 0
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        x = np.pad(inputs['conv'].numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
        residual = targets['conv'].numpy() - bias.reshape(1, -1, 1, 1)
        height, width = residual.shape[2:]
        images += len(x)
        for i in range(3):
            for j in range(3):
                patch = x[:, :, i : i + height, j : j + width]
                expected[:, :, i, j] -= np.einsum('nohw,nchw->oc', residual, patch)
    quantity = 4 * 6 * 5
    np.testing.assert_allclose(found, expected / (quantity * images), rtol=1e-10, atol=1e-12)
    # `cat` keeps the two channels that are not the group's: its outputs there are not the bias.
    assert weights['cat'][:, :2].abs().min() > 0
    assert not weights['cat'][:, 2:].any()


def test_nothing_to_reconstruct_in_an_unpruned_detector(make_problem):
    made = make_problem(perfect=True)
    found = made.problem.gradients(made.problem.weights())
    assert found.losses['reconstruction'] <= 1e-25
    assert float(made.problem.per_channel(found.total).sum()) <= 1e-25


def test_batches_of_unequal_size_count_by_their_images(make_problem):
    made = make_problem(sizes=(4, 1, 2))
    weights = made.problem.masked(made.problem.weights(), [1])
    split = made.problem.gradients(weights)

    joined = {
        'inputs': {k: torch.cat([x[k] for x in made.inputs]) for k in made.layers},
        'targets': {k: torch.cat([y[k] for y in made.targets]) for k in made.layers},
    }
    batch = SelectionBatch(joined['inputs'], joined['targets'], None)
    assert batch.num_images == 7
    made.problem.batches = BatchCache(lambda: [batch])
    whole = made.problem.gradients(weights)
    close(split.loss, whole.loss)
    for path, gradient in whole.total.items():
        close(split.total[path], gradient)
    # A mean of the batches' means would be something else.
    means = [float(made.problem.losses(b, weights)['reconstruction']) for b in _batches(made)]
    assert abs(np.mean(means) - whole.loss) > 1e-3 * whole.loss


def _batches(made):
    return [
        SelectionBatch(x, y, None) for x, y in zip(made.inputs, made.targets, strict=True)
    ]  # fmt: skip


def test_the_detector_gets_no_gradient(make_problem, quadratic):
    made = make_problem(auxiliary=quadratic())
    before = {k: v.clone() for k, v in made.problem.weights().items()}
    with torch.no_grad():  # the runner's caller may have switched them off
        made.problem.gradients(made.problem.weights())
    for path, layer in made.layers.items():
        assert all(p.grad is None for p in layer.parameters())
        assert torch.equal(layer.weight, before[path])


# ------------------------------------------------------------------ per channel, masks


def test_per_channel_by_hand():
    consumers = {
        'a': Layer(nn.Linear(3, 2), torch.tensor([2, 0]), torch.tensor([0, 1])),
        'b': Layer(nn.Linear(4, 1), torch.arange(4), torch.tensor([0, 0, 1, 1])),
    }
    problem = SelectionProblem('g', 2, consumers, {}, BatchCache(list))
    values = {
        'a': torch.tensor([[1.0, 100.0, 2.0], [3.0, 100.0, 4.0]]),
        'b': torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
    }
    # channel 0: column 2 of a, columns 0 and 1 of b; channel 1: column 0 of a, 2 and 3 of b
    assert problem.per_channel(values).tolist() == [4 + 16 + 1 + 4, 1 + 9 + 9 + 16]


def test_masked_and_write(make_problem):
    made = make_problem()
    weights = made.problem.weights()
    for keep in ([], [0], [1, 3], range(5)):
        found = made.problem.masked(weights, keep)
        expected = made.zeroed(weights, list(keep))
        assert all(torch.equal(found[path], expected[path]) for path in expected)
    made.problem.write(found := made.problem.masked(weights, [2]))
    assert all(torch.equal(layer.weight, found[p]) for p, layer in made.layers.items())
    assert all(layer.weight.requires_grad for layer in made.layers.values())
    found['conv'].add_(1)  # copies, both ways
    assert not torch.equal(made.layers['conv'].weight, found['conv'])


# ------------------------------------------------------------------ objective


@pytest.mark.parametrize(
    ('objective', 'terms'),
    [
        (dict(reconstruction=0.0), {'classification', 'regression'}),
        (dict(alpha=0.0), {'reconstruction'}),
        (dict(), {'reconstruction', 'classification', 'regression'}),
    ],
)
def test_terms_can_be_switched_off(make_problem, quadratic, objective, terms):
    made = make_problem(auxiliary=quadratic(), **objective)
    assert set(made.problem.gradients(made.problem.weights()).losses) == terms


def test_weights_of_the_auxiliary_loss_switch_its_terms_off(make_problem, quadratic):
    for kind, term in (('cls', 'classification'), ('box', 'regression')):
        auxiliary = quadratic(**{f'{kind}_weight': 0.0})
        losses = make_problem(auxiliary=auxiliary).problem.gradients
        assert term not in losses(make_problem().problem.weights()).losses


def test_objectives_out_of_range(make_problem):
    with pytest.raises(CompressionError, match='both 0'):
        Objective(0.0, 0.0)
    for key in ('reconstruction', 'alpha'):
        for value in (-0.1, math.nan, '1', None):
            with pytest.raises(CompressionError, match=rf'pruning\.objective\.{key}='):
                Objective(**{key: value})
    made = make_problem(reconstruction=0.0)
    with pytest.raises(CompressionError, match='leaves no term'):
        made.problem.gradients(made.problem.weights())


class Given(LossTerm):
    """Whatever a test wants a term to give."""

    def __init__(self, name, value, paths=()):
        super().__init__()
        self.name, self.value, self.paths = name, value, paths

    def losses(self, candidate):
        return {self.name: self.value(candidate)}


def test_terms_that_cannot_be_added_up(make_problem):
    made = make_problem()
    for name, value, message in (
        ('reconstruction', torch.zeros(()), r"two terms .* 'reconstruction'; .* of Given another"),
        ('own', 0, r"^group: the loss 'own' of Given must be a scalar tensor, but is 0"),
        ('own', torch.zeros(2), r'but is of shape \(2,\)'),
    ):
        made.problem.terms = [Reconstruction(), Given(name, lambda _, v=value: v)]
        with pytest.raises(CompressionError, match=message):
            made.problem.gradients(made.problem.weights())


def test_a_term_that_no_kernel_reaches_changes_no_gradient(make_problem):
    made = make_problem()
    weights = made.problem.masked(made.problem.weights(), [1])
    plain = made.problem.gradients(weights)
    made.problem.terms = [Reconstruction(), Given('constant', lambda _: torch.tensor(2.0))]
    found = made.problem.gradients(weights, apart=None)
    close(found.loss, plain.loss + 2)
    for path, gradient in plain.total.items():
        close(found.total[path], gradient)
        assert not found.by_term['constant'][path].any()
    made.problem.terms = made.problem.terms[1:]
    assert not any(g.any() for g in made.problem.gradients(weights).total.values())


def test_the_detector_runs_once_for_all_terms():
    """Two terms read two modules behind the consumer; what comes before it ran when recorded."""
    torch.manual_seed(0)
    names = ('stem', 'read', 'later', 'last')
    net = Named(OrderedDict((name, nn.Conv2d(2, 2, 1)) for name in names)).double()
    runs = Counter()
    for name in names:
        convolve = net.get_submodule(name)._conv_forward
        net.get_submodule(name)._conv_forward = lambda *args, name=name, convolve=convolve: (
            runs.update([name]) or convolve(*args)
        )
    images = SelectionImages(torch.randn(3, 2, 4, 4).double(), None)
    x = net.stem(images.inputs).detach()
    batch = SelectionBatch({'read': x}, {'read': net.read(x).detach()}, None, images=images)
    layer = Layer(net.read, torch.arange(2), torch.arange(2))
    problem = SelectionProblem(
        'g', 2, {'read': layer}, {}, BatchCache(lambda: [batch]), detector=net,
        terms=[
            Reconstruction(),
            Given('one', lambda c: c.taps['later'].square().mean(), ['later']),
            Given('two', lambda c: c.taps['last'].mean() + c.taps['later'].mean(), names[2:]),
        ],
    )  # fmt: skip
    kernel = torch.randn_like(net.read.weight)
    problem.loss({'read': kernel})  # fills the cache: only then is there room for what is recorded
    problem.loss({'read': kernel})
    runs.clear()
    found = problem.gradients({'read': kernel}).losses
    assert runs == dict(read=1, later=1, last=1)  # the detector goes on from the consumer
    later = net.later(F.conv2d(x, kernel, net.read.bias))
    close(found['one'], float(later.square().mean()))
    close(found['two'], float(net.last(later).mean() + later.mean()))


class Silent(LossTerm):
    """Might have the detector run, as DCP's term does, but asks for nothing."""

    any_strides, paths = True, ('read',)

    def losses(self, candidate):
        return {}


def single_conv(terms, limit=2 << 30):
    """A convolution of seven float32 channels, five of them the group's, on maps with holes."""
    generator = torch.Generator().manual_seed(3)
    layer = nn.Conv2d(7, 4, 3, padding=1)
    nn.init.normal_(layer.weight, generator=generator)
    batches = [
        SelectionBatch(
            {'read': torch.randn(count, 7, 5, 6, generator=generator)},
            {'read': torch.randn(count, 4, 5, 6, generator=generator)},
            None,
        )
        for count in (2, 1)
    ]
    index = torch.tensor([6, 0, 3, 2, 5])
    return SelectionProblem(
        'g', 5, {'read': Layer(layer, index, torch.arange(5))}, {},
        BatchCache(lambda: batches, limit), terms=terms,
    ), batches  # fmt: skip


@pytest.mark.parametrize('limit', [2 << 30, 0])
def test_maps_may_lie_channels_last(limit):
    """Values and gradients are those of float64 functions, whichever channels were asked last."""
    problem, batches = single_conv([Reconstruction(), Silent()], limit)
    layer = problem.consumers['read']
    original = problem.weights()
    for among in (None, [0, 2], [0, 2], [0, 2, 4], None, [1]):
        kernels = problem.masked(original, range(5) if among is None else among)
        found = problem.gradients(kernels, among=among)
        leaf = kernels['read'].double().requires_grad_()
        wanted = 0.0
        for batch in batches:
            bias = layer.module.bias.detach().double()
            output = F.conv2d(batch.inputs['read'][0].double(), leaf, bias, padding=1)
            apart = (output - batch.targets['read'][0].double()).square()
            wanted = wanted + apart.sum() / (2 * 3 * apart[0].numel())
        wanted.backward()
        expected = leaf.grad
        if among is not None:
            expected[:, layer.index[[k for k in range(5) if k not in among]]] = 0
        torch.testing.assert_close(found.total['read'].double(), expected, rtol=1e-5, atol=1e-6)
        assert problem.loss(kernels, among=among) == pytest.approx(found.loss, rel=1e-6)
        assert found.loss == pytest.approx(float(wanted), rel=1e-6)
    together = torch.channels_last
    assert batches[0].targets['read'][0].is_contiguous(memory_format=together)
    assert batches[0].inputs['read'][0].is_contiguous()  # others may read them too
    assert bool(batches[0].looked_at) == bool(limit)


def test_maps_lie_as_a_term_wants_them():
    def look(candidate):
        output, target = candidate.first, candidate.targets['read'][0]
        assert output.is_contiguous() and target.is_contiguous()
        return output.view(len(output), -1).square().mean()

    problem, _ = single_conv([Reconstruction(), Silent(), Given('own', look)])
    for among in (None, [0, 2], [0, 2]):
        kernels = problem.masked(problem.weights(), range(5) if among is None else among)
        assert problem.losses(next(iter(problem.batches)), kernels, among)['own'] > 0


def test_what_was_looked_at_is_not_taken_for_other_channels():
    """As many channels, but others: neither the first nor the last time."""
    problem, batches = single_conv([Reconstruction(), Silent()])
    list(problem.batches)
    wanted = {}
    for among in ([0, 1], [0, 2], [3, 4]) * 2:
        kernels = problem.masked(problem.weights(), among)
        whole = float(problem.losses(batches[0], kernels)['reconstruction'])
        own = float(problem.losses(batches[0], kernels, among)['reconstruction'])
        assert own == pytest.approx(whole, rel=1e-5)
        wanted[tuple(among)] = own
    assert len({round(value, 4) for value in wanted.values()}) == 3


class Named(nn.Sequential):
    """A sequence that takes mmdet's arguments."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return super().forward(inputs)


def test_a_cache_that_recomputes_gives_the_same_gradients(make_problem):
    kept, recomputed = make_problem(), make_problem(limit=0)
    for _ in range(2):
        one = kept.problem.gradients(kept.problem.weights()).total
        two = recomputed.problem.gradients(recomputed.problem.weights()).total
        assert all(torch.equal(one[path], two[path]) for path in one)


# ------------------------------------------------------------------ a real auxiliary network


def real_problem(images: slice) -> SelectionProblem:
    """Four images, or a part of them, with the real auxiliary network on the first consumer."""
    torch.manual_seed(0)
    layer, other = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 2, 1)
    auxiliary = AuxiliaryNetwork(6, 3, CODER)
    for head in (auxiliary.cls_head, auxiliary.box_head):
        nn.init.normal_(head.weight, std=0.1)
    x = torch.randn(4, 4, 8, 8)
    targets = {'layer': torch.randn(4, 6, 8, 8), 'other': torch.randn(4, 2, 8, 8)}
    # Two positives in the first half, four in the second; two negatives an image.
    rois, gt_boxes, labels = [], [], []
    for image, positives in enumerate((1, 1, 3, 1)):
        for number in range(positives + 2):
            left, top = torch.randint(0, 24, (2,)).tolist()
            rois.append([image, left, top, left + 20, top + 28])
            positive = number < positives
            gt_boxes.append([left + 3, top - 2, left + 24, top + 25] if positive else [0] * 4)
            labels.append(number % 3 if positive else 3)
    rois, labels = torch.tensor(rois, dtype=torch.float32), torch.tensor(labels)
    mine = (rois[:, 0] >= images.start) & (rois[:, 0] < images.stop)
    rois[:, 0] -= images.start
    samples = RoISamples(
        rois[mine],
        torch.tensor(gt_boxes, dtype=torch.float32)[mine],
        labels[mine],
        (labels < 3)[mine],
        (64, 64),
    )
    batch = SelectionBatch(
        dict.fromkeys(targets, x[images]), {k: v[images] for k, v in targets.items()}, samples
    )
    return SelectionProblem(
        'g',
        4,
        {
            path: Layer(module, torch.arange(4), torch.arange(4))
            for path, module in (('layer', layer), ('other', other))
        },
        {},
        BatchCache(lambda: [batch]),
        Objective().all_terms([AuxiliaryTerm(auxiliary)]),
    )


def facts(problem: SelectionProblem) -> dict:
    gradients = problem.gradients(problem.masked(problem.weights(), [0]), apart=None)
    selection = LCP(greedy_steps=2, inner_passes=2, inner_lr=0.1).select(problem, 2)
    weights, history = descend(problem, problem.weights(), selection.keep, 0.1, 3)
    # A ridge of one's own: which images are held out depends on the number of ranks.
    elimination = BackwardElimination(ridge=1e-3, metric='identity').select(problem, 2)
    ExactUpdate(ridge=1e-3).apply(problem, elimination.keep)
    return dict(
        elimination=elimination.keep,
        elimination_scores=elimination.scores,
        solved=problem.weights(),
        losses=gradients.losses,
        by_term=gradients.by_term,
        keep=selection.keep,
        scores=selection.scores,
        weights=weights,
        history=history,
    )


def test_the_auxiliary_losses_along_a_direction():
    """Finite differences of the real network's losses along its own gradient."""
    problem = real_problem(slice(0, 4))
    weights = problem.masked(problem.weights(), [0, 1, 3])
    found = problem.gradients(weights, apart=None)
    for term, by_path in found.by_term.items():
        norm = sum(float(g.square().sum()) for g in by_path.values()) ** 0.5
        assert norm > 0
        step = 1e-2 / norm
        values = []
        for sign in (1, -1):
            moved = {p: w + sign * step * by_path[p] / norm * norm for p, w in weights.items()}
            values.append(problem.gradients(moved).losses[term])
        slope = (values[0] - values[1]) / (2 * step)
        assert slope == pytest.approx(norm**2, rel=0.02), term
    assert found.losses.keys() == {'reconstruction', 'classification', 'regression'}


def facts_of_rank(rank: int) -> dict:
    return facts(real_problem(slice(2 * rank, 2 * rank + 2)))


def test_two_ranks_agree_with_one(tmp_path):
    """Two processes with gloo, half of the images each; this file is the other's script."""
    first, second = on_two_ranks(facts_of_rank, __file__, tmp_path)
    one = facts(real_problem(slice(0, 4)))

    def compare(a, b, **tolerance):
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            for key in a:
                compare(a[key], b[key], **tolerance)
        else:
            torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)

    compare(first, second, rtol=0, atol=0)  # the ranks must never part
    compare(first, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('apart', [0, 1, None])
def test_taking_terms_apart_does_not_change_the_gradient(make_problem, quadratic, apart):
    made = make_problem(auxiliary=quadratic(), reconstruction=0.7, alpha=2.0)
    weights = made.problem.masked(made.problem.weights(), [0, 3])
    found = made.problem.gradients(weights, apart=apart)
    expected = made.grad(weights, reconstruction=0.7, alpha=2.0)
    for path, gradient in found.total.items():
        close(gradient, expected[path])
    assert bool(found.by_term) == (apart != 0)


if __name__ == '__main__':
    be_the_other_rank(facts_of_rank)


def test_losses_by_batch_and_among_some_channels(make_problem, quadratic):
    """The same L whether channels with kernels of zeros run or not."""
    made = make_problem(auxiliary=quadratic())
    problem = made.problem
    weights = problem.masked(problem.weights(), [0, 3])
    each, whole = problem.losses_by_batch(weights, [0, 3])
    close(whole, problem.loss(weights))
    close(each, [problem.loss(weights, [batch]) for batch in problem.batches])
    found = problem.gradients(weights, among=[0, 3])
    expected = problem.masked(problem.gradients(weights).total, [0, 3])
    for path, gradient in expected.items():
        close(found.total[path], gradient)
