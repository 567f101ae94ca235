"""Group Fisher against gradients by image: finite differences, and masks written out by hand."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from ranks import be_the_other_rank, on_two_ranks
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import GroupFisher
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache
from mmdet_lcp.registry import CRITERIA
from mmdet_lcp.selection.images import SelectionImages


def problem_of(detector, consumers, channels, batches, producers=None, seed=0):
    """A selection problem; layers are (path, index, root)."""

    def layers(given):
        return {
            path: Layer(detector.get_submodule(path), torch.tensor(index), torch.tensor(root))
            for path, index, root in given
        }

    return SelectionProblem(
        'some.group',
        channels,
        layers(consumers),
        layers(producers or []),
        BatchCache(list),
        seed=seed,
        detector=detector,
        images=batches,
    )


# ------------------------------------------------------------------ a small network of one's own


class Small(nn.Module):
    """A group of four channels, read in two ways; everything is in plain sight.

    ``write`` writes it; ``cat`` reads it behind two strangers and backwards; ``fc`` reads its
    mean over the left and the right half, as inputs (left 0..3, right 0..3). The loss couples the
    images by a common divisor alone.
    """

    CONSUMERS = (
        ('cat', [2, 3, 4, 5], [3, 2, 1, 0]),
        ('fc', [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 0, 1, 2, 3]),
    )
    PRODUCERS = (('write', [0, 1, 2, 3], [0, 1, 2, 3]),)

    def __init__(self) -> None:
        super().__init__()
        self.write = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.cat = nn.Conv2d(6, 5, 3, padding=1, stride=2)
        self.fc = nn.Linear(8, 3)
        self.calls = 1

    def outputs(self, x, mask=None):
        """Of each image, with a mask (N, 4) on the group."""
        group = self.norm(self.write(x)).relu()
        if mask is not None:
            group = group * mask[:, :, None, None]
        for _ in range(self.calls):
            maps = self.cat(torch.cat([x[:, :2], group.flip(1)], 1))
        half = group.shape[3] // 2
        left, right = group[..., :half].mean((2, 3)), group[..., half:].mean((2, 3))
        return maps, self.fc(torch.cat([left, right], 1))

    def losses(self, x, mask=None):
        """L_n without the divisor, (N,)."""
        maps, rows = self.outputs(x, mask)
        return maps.sigmoid().sum((1, 2, 3)) + rows.square().sum(1)

    def loss(self, inputs, data_samples):
        return {'loss': self.losses(inputs).sum() / (3 * len(inputs))}

    def parse_losses(self, losses):
        return losses['loss'], losses


def small(sizes=(3, 2), seed=0):
    """The network in training mode, with batches of images."""
    torch.manual_seed(seed)
    detector = Small().double()
    detector.norm.running_mean.normal_(std=0.3)
    images = [torch.randn(size, 3, 6, 8, dtype=torch.float64) for size in sizes]
    return detector, [SelectionImages(x, None, [None] * len(x)) for x in images]


def by_hand(detector, batches):
    """s_c: a mask in the middle of the network, one image at a time, the batch's divisor."""
    detector = copy.deepcopy(detector).eval()
    total = torch.zeros(4, dtype=torch.float64)
    for images in batches:
        for x in images.inputs.split(1):
            mask = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
            loss = detector.losses(x, mask).sum() / (3 * len(images.inputs))
            total += torch.autograd.grad(loss, mask)[0][0].square()
    return total


@pytest.mark.parametrize('seed', range(3))
def test_gradients_of_coupled_reads_add_up_by_image(seed):
    detector, batches = small(seed=seed)
    problem = problem_of(detector, Small.CONSUMERS, 4, batches)
    expected = by_hand(detector, batches)
    for keep in (1, 2, 3):
        selection = GroupFisher(None).select(problem, keep)
        torch.testing.assert_close(torch.tensor(selection.scores).double(), expected)
        assert selection.keep == sorted(expected.argsort(descending=True)[:keep].tolist())
    # Not the sum of each consumer's own, nor the square of all images' sum.
    apart = sum(
        GroupFisher(None).scores(problem_of(detector, [consumer], 4, batches))
        for consumer in Small.CONSUMERS
    )
    assert not torch.allclose(apart, expected, rtol=0.1)


def test_one_consumer_alone():
    """The mask lies on what this consumer reads: the other one sees the channel as it is."""
    detector, batches = small(sizes=(2,))
    found = GroupFisher(None).scores(problem_of(detector, Small.CONSUMERS[:1], 4, batches))
    still = copy.deepcopy(detector).eval()
    expected = torch.zeros(4, dtype=torch.float64)
    for x in batches[0].inputs.split(1):
        mask = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
        loss = still.outputs(x, mask)[0].sigmoid().sum() / 6
        expected += torch.autograd.grad(loss, mask)[0][0].square()
    torch.testing.assert_close(found, expected)


def test_a_frozen_detector_and_switched_off_gradients():
    detector, batches = small()
    expected = by_hand(detector, batches)
    detector.requires_grad_(False)
    with torch.no_grad():
        found = GroupFisher(None).scores(problem_of(detector, Small.CONSUMERS, 4, batches))
    torch.testing.assert_close(found, expected)


def hooks_of(detector):
    return [
        hook
        for module in detector.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        for hook in hooks
    ]


@pytest.mark.parametrize('fails', [False, True])
def test_nothing_is_left_behind(fails, monkeypatch):
    detector, batches = small()
    detector.train()
    detector.cat.eval()
    detector.fc.weight.requires_grad_(False)
    modes = [module.training for module in detector.modules()]
    before = copy.deepcopy(detector.state_dict())
    state = torch.get_rng_state()
    problem = problem_of(detector, Small.CONSUMERS, 4, batches, Small.PRODUCERS)
    if fails:

        def broken(losses):
            torch.rand(1)
            raise ZeroDivisionError

        monkeypatch.setattr(detector, 'parse_losses', broken)
        with pytest.raises(ZeroDivisionError):
            GroupFisher().select(problem, 2)
    else:
        GroupFisher().select(problem, 2)
    assert [module.training for module in detector.modules()] == modes
    assert hooks_of(detector) == []
    assert all(parameter.grad is None for parameter in detector.parameters())
    frozen = [name for name, p in detector.named_parameters() if not p.requires_grad]
    assert frozen == ['fc.weight']
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_channel_saves():
    """By hand: maps of 6 x 8 behind ``write``, of 3 x 4 behind ``cat``."""
    detector, batches = small()
    problem = problem_of(detector, Small.CONSUMERS, 4, batches, Small.PRODUCERS)
    plain = GroupFisher(None).scores(problem)
    memory = GroupFisher().scores(problem)
    torch.testing.assert_close(memory, plain / (6 * 8 * 1e-6))
    flops = GroupFisher('flops').scores(problem)
    saved = 6 * 8 * 3 * 9 + 3 * 4 * 5 * 9 + 2 * 3
    torch.testing.assert_close(flops, plain / (saved * 1e-9))
    # A depth-wise convolution between is written and computed anew; a layer may run twice.
    detector.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4).double()
    norm = detector.norm
    detector.norm = nn.Sequential(norm, detector.depth)
    problem.norms = {
        'depth': Layer(detector.depth, torch.arange(4), torch.arange(4)),
        'norm': Layer(norm, torch.arange(4), torch.arange(4)),
    }
    detector.calls = 2
    plain, memory = GroupFisher(None).scores(problem), GroupFisher('memory').scores(problem)
    torch.testing.assert_close(memory, plain / (2 * 6 * 8 * 1e-6))
    saved += 6 * 8 * 9 + 3 * 4 * 5 * 9
    torch.testing.assert_close(GroupFisher('flops').scores(problem), plain / (saved * 1e-9))


def test_a_loss_that_does_not_depend_on_the_group():
    detector, batches = small()
    detector.spare = nn.Conv2d(4, 2, 1).double()
    identity = [0, 1, 2, 3]
    for frozen in (False, True):
        detector.requires_grad_(not frozen)
        problem = problem_of(detector, [('spare', identity, identity)], 4, batches)
        with pytest.raises(CompressionError, match=r'some\.group: the loss .* does not depend'):
            GroupFisher().select(problem, 2)


def test_scores_that_are_not_finite():
    detector, batches = small()
    with torch.no_grad():
        detector.fc.weight[0, 0] = torch.nan
    with pytest.raises(CompressionError, match='not finite'):
        GroupFisher(None).select(problem_of(detector, Small.CONSUMERS, 4, batches), 2)


@pytest.mark.parametrize('value', ['acts', '', 0, True])
def test_values_out_of_range(value):
    with pytest.raises(CompressionError, match=r'pruning\.criterion\.normalization='):
        CRITERIA.build(dict(type='GroupFisher', normalization=value))


# ------------------------------------------------------------------ behind RoIs


class RoIHead(Small):
    """``fc`` reads pooled regions; their order in a batch is that of ``whose``."""

    CONSUMERS = (
        ('cat', [0, 1, 2], [0, 1, 2]),
        ('fc', list(range(12)), [i // 4 for i in range(12)]),
    )

    def __init__(self, extractor: bool) -> None:
        nn.Module.__init__(self)
        self.write = nn.Conv2d(3, 3, 3, padding=1)
        self.cat = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(12, 2)
        layer = dict(type='RoIAlign', output_size=2, sampling_ratio=2)
        self.pool = SingleRoIExtractor(layer, 3, [2])
        self.extractor = extractor

    def losses_of(self, x, whose, mask=None):
        group = self.write(x).relu()
        if mask is not None:
            group = group * mask[:, :, None, None]
        corners = torch.arange(len(whose), dtype=x.dtype)[:, None] * torch.tensor([1, 2, 1, 2.0])
        sides = torch.tensor([0, 0, 9, 7.0])
        rois = torch.cat([torch.tensor(whose, dtype=x.dtype)[:, None], corners + sides], 1)
        # Without an extractor the same numbers come from a function, which nothing can observe.
        pool = self.pool if self.extractor else self.pool.forward
        maps = self.cat(group).sigmoid().sum((1, 2, 3))
        rows = self.fc(pool([group], rois).flatten(1)).square().sum(1)
        return maps / 5, rows

    def loss(self, inputs, data_samples):
        maps, rows = self.losses_of(inputs, data_samples)
        return {'loss': maps.sum() + rows.sum()}


WHOSE = {'more': [1, 0, 1, 1, 2, 0, 1], 'as many as images': [1, 0, 1], 'fewer': [2, 2]}


@pytest.mark.parametrize('name', WHOSE)
def test_rois_find_their_image(name):
    torch.manual_seed(0)
    detector = RoIHead(extractor=True)
    x = torch.randn(3, 3, 16, 16)
    images = SelectionImages(x, None, WHOSE[name])
    found = GroupFisher(None).scores(problem_of(detector, RoIHead.CONSUMERS, 3, [images]))
    expected = torch.zeros(3)
    for number in range(3):
        mask = torch.ones(3, 3)
        own = torch.ones(3, requires_grad=True)
        mask = mask.index_copy(0, torch.tensor([number]), own[None])
        maps, rows = detector.losses_of(x, WHOSE[name], mask)
        expected += torch.autograd.grad(maps.sum() + rows.sum(), own)[0].square()
    torch.testing.assert_close(found.float(), expected)


def test_items_of_unknown_images():
    torch.manual_seed(0)
    detector = RoIHead(extractor=False)
    x = torch.randn(3, 3, 16, 16)
    problem = problem_of(
        detector, RoIHead.CONSUMERS, 3, [SelectionImages(x, None, WHOSE['more'])]
    )  # fmt: skip
    with pytest.raises(CompressionError, match=r'the 7 items at fc .*batch_size=1'):
        GroupFisher(None).select(problem, 2)
    assert hooks_of(detector) == []
    # One image a batch: all belongs to it.
    problem.images = [SelectionImages(x[n : n + 1], None, [0, 0, 0]) for n in range(3)]
    found = GroupFisher(None).scores(problem)
    detector.extractor = True
    torch.testing.assert_close(found, GroupFisher(None).scores(problem))


class Drawing(RoIHead):
    """A loss on regions that are drawn at random."""

    def loss(self, inputs, data_samples):
        return super().loss(inputs, torch.randint(len(inputs), (4,)).tolist())


def test_random_regions_hang_on_the_seed_alone():
    torch.manual_seed(0)
    detector = Drawing(extractor=True)
    batches = [SelectionImages(torch.randn(3, 3, 16, 16), None, [None] * 3)]
    scores = []
    for seed, other in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(other)
        problem = problem_of(detector, RoIHead.CONSUMERS, 3, batches, seed=seed)
        scores.append(GroupFisher(None).scores(problem))
    assert torch.equal(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2])


# ------------------------------------------------------------------ a real SSD


def ssd(tmp_path: Path):
    """A tiny SSD in float64, and four images with objects."""
    import tiny
    from mmdet.registry import MODELS

    cfg = Config.fromfile(tiny.make_config(tmp_path, tmp_path / 'no_data'))
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model).double()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
    images = torch.randn(4, 3, tiny.SIZE, tiny.SIZE, dtype=torch.float64)
    samples = []
    for number in range(4):
        shape = dict(img_shape=(tiny.SIZE,) * 2, pad_shape=(tiny.SIZE,) * 2)
        sample = DetDataSample(metainfo=shape)
        boxes = [[4.0 + 5 * number, 6, 30 + 5 * number, 40], [30, 20, 44, 36]][: 1 + number % 2]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float64),
            labels=torch.tensor([number % 3, 1][: len(boxes)]),
        )
        samples.append(sample)
    return detector, [
        SelectionImages(images[i : i + 2], None, samples[i : i + 2]) for i in (0, 2)
    ]  # fmt: skip


# The last map of the first stage with a head: read by the next stage and by both heads.
READERS = ('backbone.stage4.0.conv', 'bbox_head.cls_convs.0.0', 'bbox_head.reg_convs.0.0')


def ssd_problem(detector, batches):
    channels = detector.get_submodule(READERS[0]).in_channels
    same = list(range(channels))
    return problem_of(
        detector,
        [(path, same, same) for path in READERS],
        channels,
        batches,
        [('backbone.stage3.2.conv', same, same)],
    )


def test_a_real_ssd_by_finite_differences(tmp_path):
    detector, batches = ssd(tmp_path)
    problem = ssd_problem(detector, batches)
    found = GroupFisher(None).scores(problem)
    assert len(found) == 32 and (found > 0).sum() > 16
    detector.eval()
    now = SimpleNamespace(image=0, channel=0, factor=1.0)

    def scale(module, args):
        x = args[0].clone()
        x[now.image, now.channel] *= now.factor
        return (x,)

    for path in READERS:
        detector.get_submodule(path).register_forward_pre_hook(scale)
    largest = found.argsort(descending=True)
    for channel in (int(largest[0]), int(largest[9])):
        expected = 0.0
        for images in batches:
            for image in range(2):
                values = []
                for step in (1e-5, -1e-5):
                    now.image, now.channel, now.factor = image, channel, 1 + step
                    with torch.no_grad():
                        losses = detector.loss(images.inputs, images.data_samples)
                        values.append(float(detector.parse_losses(losses)[0]))
                expected += ((values[0] - values[1]) / 2e-5) ** 2
        assert float(found[channel]) == pytest.approx(expected, rel=1e-4)


# ------------------------------------------------------------------ two ranks


def facts(batches: slice) -> dict:
    detector, images = small(sizes=(3, 2), seed=4)
    problem = problem_of(detector, Small.CONSUMERS, 4, images[batches], Small.PRODUCERS)
    selection = GroupFisher().select(problem, 2)
    return dict(keep=selection.keep, scores=selection.scores)


def facts_of_rank(rank: int) -> dict:
    return facts(slice(rank, rank + 1))


def test_two_ranks_agree_with_one(tmp_path):
    """One batch each; this file is the other's script."""
    first, second = on_two_ranks(facts_of_rank, __file__, tmp_path)
    one = facts(slice(0, 2))
    assert first == second
    assert first['keep'] == one['keep']
    assert first['scores'] == pytest.approx(one['scores'], rel=1e-9)
    assert facts(slice(0, 1))['scores'] != pytest.approx(one['scores'], rel=1e-2)


if __name__ == '__main__':
    be_the_other_rank(facts_of_rank)
