"""DCP's criterion against the paper's algorithm, written out here over the whole network."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from ranks import be_the_other_rank, on_two_ranks
from torch import nn

from mmdet_lcp.auxiliary.object_classifier import LayerClassifier, ObjectClassifier
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import DCP
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.selection.images import SelectionImages

CHANNELS, SIZE, CLASSES = 6, 16, 3


class Net(nn.Module):
    """Six channels that two layers read, one of them in reverse order behind another channel.

    What they write meets again behind a batch norm and an in-place ReLU; then comes the layer
    that the classifier reads, and one that would fail if it were run.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.a = nn.Conv2d(CHANNELS, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.b = nn.Conv2d(CHANNELS + 1, 5, 1)
        self.tap = nn.Conv2d(5, 4, 3, padding=1)
        self.never = nn.Conv2d(99, 1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.stem(inputs).relu()
        behind = torch.cat([inputs[:, :1], x.flip(1)], dim=1)
        return self.never(self.tap(self.relu(self.norm(self.a(x))) + self.b(behind)))


READ = {  # the channel of the group that each input channel of a layer is; -1 for none
    'a': [0, 1, 2, 3, 4, 5],
    'b': [-1, 5, 4, 3, 2, 1, 0],
}


class Small:
    """A problem, and all that it takes to compute it by hand.

    Args:
        images: of each batch.
        part: of every batch these images alone, as one of two ranks has them.
    """

    def __init__(self, seed=0, images=(2, 1, 2), part=slice(None), limit=2 << 30, **objective):
        torch.manual_seed(seed)
        self.net = Net().double()
        for name in ('running_mean', 'weight', 'bias'):
            nn.init.normal_(getattr(self.net.norm, name))
        nn.init.uniform_(self.net.norm.running_var, 0.5, 2)
        self.classifier = ObjectClassifier(4, CLASSES, output_size=2).double()
        nn.init.normal_(self.classifier.head.weight, std=2)
        nn.init.normal_(self.classifier.norm.running_mean)
        nn.init.uniform_(self.classifier.norm.running_var, 0.5, 2)
        self.batches = [self._batch(count, part) for count in images]
        attached = LayerClassifier(self.classifier, 'tap').for_selection()
        index = {
            path: torch.tensor([i for i, k in enumerate(read) if k >= 0])
            for path, read in READ.items()
        }
        self.objective = Objective(**objective)
        self.problem = SelectionProblem(
            name='group',
            channels=CHANNELS,
            consumers={
                path: Layer(self.net.get_submodule(path), found, torch.tensor(READ[path])[found])
                for path, found in index.items()
            },
            producers={},
            batches=BatchCache(lambda: iter(self.batches), limit),
            terms=self.objective.all_terms(attached),
            detector=self.net,
        )

    def _batch(self, count, part):
        image = torch.randn(count, 3, SIZE, SIZE).double()
        samples = []
        for number in range(count):
            boxes = [[number, 1, 9 + number, 12], [3, 2 + number, 15, 14]][: 1 + number]
            sample = DetDataSample(metainfo=dict(batch_input_shape=(SIZE, SIZE), pad_shape=None))
            sample.gt_instances = InstanceData(
                bboxes=torch.tensor(boxes).double(),
                labels=torch.randint(CLASSES, (len(boxes),)),
            )
            samples.append(sample)
        with torch.no_grad():
            x = self.net.stem(image).relu()
            inputs = {'a': x, 'b': torch.cat([image[:, :1], x.flip(1)], dim=1)}
            targets = {path: self.net.get_submodule(path)(value) for path, value in inputs.items()}
            targets = {path: y + 0.5 * torch.randn_like(y) for path, y in targets.items()}
        return SelectionBatch(
            {path: x[part] for path, x in inputs.items()},
            {path: y[part] for path, y in targets.items()},
            None,
            images=SelectionImages(image[part], None, samples[part]),
        )

    def loss(self, kernels, batches, only=None):
        """L over some batches, through the whole network, term by term from the paper."""
        net, head = self.net, self.classifier
        total, images = 0.0, 0
        for batch in batches:
            image = batch.images.inputs
            x = F.conv2d(image, net.stem.weight, net.stem.bias, padding=1).relu()
            a = F.conv2d(x, kernels['a'], padding=1)
            behind = torch.cat([image[:, :1], x.flip(1)], dim=1)
            b = F.conv2d(behind, kernels['b'], net.b.bias)
            value = 0.0
            if only in (None, 'reconstruction'):
                for path, output in (('a', a), ('b', b)):
                    for n in range(len(image)):
                        error = (batch.targets[path][0][n] - output[n]).square().sum()
                        value = value + self.objective.reconstruction * error / (
                            2 * output[n].numel() * len(image)
                        )
            if only in (None, 'discrimination') and self.objective.alpha:
                h = F.conv2d((normed(a, net.norm)).relu() + b, net.tap.weight, net.tap.bias, 1, 1)
                h = normed(h, head.norm).relu()
                entropies = []
                for n, sample in enumerate(batch.images.data_samples):
                    objects = sample.gt_instances
                    for box, label in zip(objects.bboxes, objects.labels, strict=True):
                        roi = torch.cat([box.new_tensor([n]), box])[None]
                        crop = roi_align(h.contiguous(), roi, (2, 2), 1.0, 2, 'avg', True)[0]
                        logits = head.head.weight @ crop.mean((1, 2)) + head.head.bias
                        entropies.append(logits.exp().sum().log() - logits[label])
                value = value + self.objective.alpha * sum(entropies) / max(len(entropies), 1)
            total, images = total + value * len(image), images + len(image)
        return total / images

    def gradient(self, kernels, batches, only=None):
        leaves = {path: k.detach().clone().requires_grad_(True) for path, k in kernels.items()}
        self.loss(leaves, batches, only).backward()
        return {path: leaf.grad for path, leaf in leaves.items()}

    def norms(self, gradient):
        """||dL/dW_k||_F by loops."""
        squares = [0.0] * CHANNELS
        for path, read in READ.items():
            for i, k in enumerate(read):
                if k >= 0:
                    for value in gradient[path][:, i].flatten().tolist():
                        squares[k] += value**2
        return [math.sqrt(value) for value in squares]


def normed(x, norm):
    shape = (1, -1, 1, 1)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)


def zeroed(kernels, selected):
    """Kernels of the group's channels that are not selected at zero."""
    result = {path: kernel.detach().clone() for path, kernel in kernels.items()}
    for path, read in READ.items():
        for i, k in enumerate(read):
            if k >= 0 and k not in selected:
                result[path][:, i] = 0
    return result


def algorithm(
    small,
    keep,
    at_once=1,
    steps=4,
    rate=0.1,
    portion=1,
    tolerance=None,
    rounded=lambda count: count,
):
    """Algorithm 2 of the paper; `portion` batches a gradient, `at_once` channels a step."""
    turn = 0

    def next_batches():
        nonlocal turn
        if portion is None:
            return small.batches
        chosen = [small.batches[(turn + i) % len(small.batches)] for i in range(portion)]
        turn += portion
        return chosen

    original = small.problem.weights()
    kernels, selected, scores = zeroed(original, []), [], [0.0] * CHANNELS
    history = [float(small.loss(kernels, small.batches))]
    stop = None
    while len(selected) < (keep if stop is None else stop):
        norms = small.norms(small.gradient(kernels, next_batches()))
        for k in range(CHANNELS):
            if k not in selected:
                scores[k] = norms[k]
        for _ in range(at_once):
            if len(selected) < (keep if stop is None else stop):
                left = [k for k in range(CHANNELS) if k not in selected]
                best = max(left, key=lambda k: norms[k])
                selected.append(best)
                for path, read in READ.items():
                    i = read.index(best)
                    kernels[path][:, i] = original[path][:, i]
        for _ in range(steps):
            batches = next_batches()
            gradient = zeroed(small.gradient(kernels, batches), selected)
            trial = {path: k - rate * gradient[path] for path, k in kernels.items()}
            if small.loss(trial, batches) > small.loss(kernels, batches):
                rate = rate / 2
            else:
                kernels = trial
        history.append(float(small.loss(kernels, small.batches)))
        change = abs(history[-2] - history[-1]) / history[0]
        if tolerance is not None and stop is None and change <= tolerance:
            stop = min(keep, rounded(len(selected)))
    return selected, scores, kernels, history


def assert_same(selection, expected):
    selected, scores, kernels, _ = expected
    assert selection.keep == sorted(selected)
    assert selection.scores == pytest.approx(scores, rel=1e-9)
    assert selection.kernels.keys() == kernels.keys()
    for path, kernel in kernels.items():
        torch.testing.assert_close(selection.kernels[path], kernel, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('keep', [1, 3, 6])
def test_the_papers_algorithm(seed, keep):
    small = Small(seed, alpha=2.0, reconstruction=0.7)
    assert_same(DCP(inner_lr=0.1).select(small.problem, keep), algorithm(small, keep))


@pytest.mark.parametrize(
    ('keys', 'words'),
    [
        (dict(inner_steps=0), dict(steps=0)),
        (dict(inner_steps=5, inner_lr=0.03), dict(steps=5, rate=0.03)),
        (dict(batches_per_step=2), dict(portion=2)),
        (dict(batches_per_step=4), dict(portion=4)),
        (dict(batches_per_step=None), dict(portion=None)),
        (dict(channels_per_step=2), dict(at_once=2)),
        (dict(channels_per_step=4), dict(at_once=4)),
    ],
)
@pytest.mark.parametrize('limit', [2 << 30, 0])
def test_its_figures(keys, words, limit):
    small = Small(5, limit=limit)
    selection = DCP(**{'inner_lr': 0.1, **keys}).select(small.problem, 5)
    assert_same(selection, algorithm(small, 5, **words))


def test_the_order_of_a_run_is_the_papers():
    """The first k of a longer run are what a run with a budget of k ends with."""
    small = Small(1)
    order = algorithm(small, CHANNELS)[0]
    assert order != sorted(order)
    for keep in range(1, CHANNELS + 1):
        selection = DCP(inner_lr=0.1).select(small.problem, keep)
        assert set(selection.keep) == set(order[:keep])


def test_gradients_pass_through_the_layers_between():
    small = Small(2, alpha=2.0)
    kernels = zeroed(small.problem.weights(), [1, 4])
    found = small.problem.gradients(kernels, apart=None)
    assert set(found.losses) == {'reconstruction', 'discrimination'}
    for term in found.losses:
        expected = small.gradient(kernels, small.batches, only=term)
        for path in READ:
            torch.testing.assert_close(found.by_term[term][path], expected[path])
            assert expected[path].abs().max() > 1e-4
    assert found.loss == pytest.approx(float(small.loss(kernels, small.batches)))
    assert small.problem.loss(kernels) == pytest.approx(found.loss)


def test_lambda_zero_is_pure_reconstruction():
    small = Small(3, alpha=0.0)
    alone = Small(3, alpha=0.0)
    alone.problem.terms = alone.problem.terms[:1]
    one, other = (DCP(inner_lr=0.1).select(s.problem, 4) for s in (small, alone))
    assert one.keep == other.keep
    assert one.scores == other.scores
    assert all(torch.equal(one.kernels[path], other.kernels[path]) for path in READ)
    assert 'discrimination' not in one.log
    assert_same(one, algorithm(small, 4))
    with_both = DCP(inner_lr=0.1).select(Small(3).problem, 4)
    assert with_both.scores != one.scores
    assert with_both.log['discrimination'] > 0


def test_discrimination_alone():
    small = Small(4, reconstruction=0.0)
    assert_same(DCP(inner_lr=0.1).select(small.problem, 3), algorithm(small, 3))


@pytest.mark.parametrize('at_once', [1, 2])
def test_adapt_stops_by_the_tolerance(at_once):
    small = Small(6)
    history = algorithm(small, CHANNELS, at_once)[3]
    changes = [abs(a - b) / history[0] for a, b in pairwise(history)]
    counts = set()
    for change in changes[::2]:
        for tolerance in (0.99 * change, 1.01 * change):
            expected = algorithm(small, CHANNELS, at_once, tolerance=tolerance)
            criterion = DCP(at_once, inner_lr=0.1, tolerance=tolerance)
            selection = criterion.select(small.problem, CHANNELS)
            assert_same(selection, expected)
            counts.add(len(selection.keep))
    assert len(counts) > 1 and max(counts) <= CHANNELS
    generous = DCP(at_once, tolerance=1e9).select(small.problem, CHANNELS)
    assert len(generous.keep) == at_once  # it stops after one step, not before
    assert len(DCP(tolerance=0.0).select(small.problem, 4).keep) == 4


def test_adapt_keeps_what_may_stay():
    small = Small(6)
    for rounded, budget, kept in (
        (lambda count: 4 * math.ceil(count / 4), 6, 4),
        (lambda count: max(count, 3), 6, 3),
        (lambda count: max(count, 3), 2, 2),
    ):
        small.problem.round_up = rounded
        selection = DCP(inner_lr=0.1, tolerance=1e9).select(small.problem, budget)
        assert len(selection.keep) == kept
        expected = algorithm(small, budget, tolerance=1e9, rounded=rounded)
        assert_same(selection, expected)


def test_the_detector_is_left_as_it_was():
    small = Small(limit=0)
    small.net.train()
    small.net.norm.eval()
    before = {key: value.clone() for key, value in small.net.state_dict().items()}
    selection = DCP(inner_lr=0.1).select(small.problem, 3)
    assert all(torch.equal(value, before[key]) for key, value in small.net.state_dict().items())
    assert small.net.training and small.net.tap.training and not small.net.norm.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.net.modules())
    assert all(p.grad is None and p.requires_grad for p in small.net.parameters())
    gone = [k for k in range(CHANNELS) if k not in selection.keep]
    assert not selection.kernels['a'][:, gone].any()
    assert selection.kernels['b'][:, 0].all()  # the channel that is not the group's


def test_ties_go_to_the_lower_index():
    layer = nn.Linear(6, 3, bias=False).double()
    x = torch.ones(2, 6, dtype=torch.float64)
    x[:, 4] = 2
    batch = SelectionBatch({'fc': x}, {'fc': torch.ones(2, 3, dtype=torch.float64)}, None)
    consumer = Layer(layer, torch.arange(6), torch.arange(6))
    problem = SelectionProblem('some.group', 6, {'fc': consumer}, {}, BatchCache(lambda: [batch]))
    selection = DCP(inner_steps=0, channels_per_step=3).select(problem, 3)
    assert selection.keep == [0, 1, 4]
    # dL/dW_oc = -1/(Q N) sum_n F x = -x / 3, for three outputs
    assert selection.scores == pytest.approx([math.sqrt(3) * v / 3 for v in (1, 1, 1, 1, 2, 1)])
    x[0, 1] = math.nan
    with pytest.raises(CompressionError, match=r'some\.group: the gradients are not finite'):
        DCP().select(problem, 2)


def test_steps_that_are_too_long_are_taken_back_and_halved():
    small = Small()
    keys = dict(inner_lr=100.0, inner_steps=12, batches_per_step=None)
    selection = DCP(**keys).select(small.problem, 4)
    assert_same(selection, algorithm(small, 4, rate=100.0, steps=12, portion=None))
    unmoved = zeroed(small.problem.weights(), selection.keep)
    assert small.loss(selection.kernels, small.batches) < small.loss(unmoved, small.batches)


def test_a_step_out_of_all_bounds_changes_nothing():
    small = Small()
    selection = DCP(inner_lr=1e200).select(small.problem, 4)
    for path, kernel in zeroed(small.problem.weights(), selection.keep).items():
        assert torch.equal(selection.kernels[path], kernel)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(channels_per_step=0), r'channels_per_step=0 must be an integer >= 1'),
        (dict(channels_per_step=1.5), r'channels_per_step=1\.5'),
        (dict(channels_per_step=None), r'channels_per_step=None'),
        (dict(inner_steps=-1), r'inner_steps=-1 must be an integer >= 0'),
        (dict(inner_steps=True), r'inner_steps=True'),
        (dict(inner_lr=0), r'inner_lr=0 must be'),
        (dict(inner_lr=math.inf), r'inner_lr=inf'),
        (dict(batches_per_step=0), r'batches_per_step=0 must be an integer >= 1'),
        (dict(batches_per_step='all'), r"batches_per_step='all'"),
        (dict(tolerance=-0.1), r'tolerance=-0\.1 must be a number >= 0'),
        (dict(tolerance=math.nan), r'tolerance=nan'),
        (dict(tolerance='0.1'), r"tolerance='0\.1'"),
    ],
)
def test_values_out_of_range(keys, message):
    with pytest.raises(CompressionError, match=r'pruning\.criterion\.' + message):
        DCP(**keys)


# ------------------------------------------------------------------ two ranks


def facts(part: slice) -> dict:
    """Two batches of four images, or a part of each; an adaptive run and a plain one."""
    found = {}
    for name, tolerance in (('plain', None), ('adapt', 0.02)):
        small = Small(8, images=(4, 4), part=part)
        criterion = DCP(inner_lr=0.1, tolerance=tolerance)
        selection = criterion.select(small.problem, 5)
        found[name] = dict(vars(selection))
    return found


def facts_of_rank(rank: int) -> dict:
    return facts(slice(2 * rank, 2 * rank + 2))


def test_two_ranks_agree_with_one(tmp_path):
    """Two processes with gloo, half of every batch each; this file is the other's script."""
    first, second = on_two_ranks(facts_of_rank, __file__, tmp_path)
    one = facts(slice(None))
    torch.testing.assert_close(first, second, rtol=0, atol=0)  # the ranks must never part
    torch.testing.assert_close(first, one, rtol=1e-8, atol=1e-10)
    assert len(one['adapt']['keep']) < 5 == len(one['plain']['keep'])


if __name__ == '__main__':
    be_the_other_rank(facts_of_rank)
