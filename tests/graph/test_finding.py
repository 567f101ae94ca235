"""Groups are found without leaving a trace, or it is said why not."""

import copy

import detectors
import pytest
import torch
from mmdet.models.detectors import BaseDetector
from torch import nn
from toys import Toy, by_name, paths

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.made_samples import made_samples


@pytest.mark.parametrize('training', [True, False])
def test_the_detector_is_left_as_it_was(narrow_r50, training):
    detector = narrow_r50.detector
    detector.train(training)
    detector.backbone.bn1.eval()  # one module differs from its parent
    frozen = {
        'backbone.conv1.weight',
        'backbone.layer1.0.bn1.bias',
        'neck.extra_layers.0.0.bn.bias',
    }
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name not in frozen)
    modes = {path: module.training for path, module in detector.named_modules()}
    values = {key: value.clone() for key, value in detector.state_dict().items()}
    try:
        groups = find_groups(detector, (96, 96))
        assert {p: m.training for p, m in detector.named_modules()} == modes
        assert {n for n, p in detector.named_parameters() if not p.requires_grad} == frozen
        assert all(torch.equal(v, values[k]) for k, v in detector.state_dict().items())
        assert all(p.grad is None for p in detector.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in detector.modules())
        assert groups == narrow_r50.groups  # frozen layers are found like all others
    finally:
        detector.requires_grad_(True).eval()


def broken(model, x):
    raise IndexError('nothing there')


UNTRACEABLE = {
    'raises': broken,
    'too small an image': lambda m, x: m.a(x[..., :2, :2]),
    'no layer runs': lambda m, x: m.b(m.a.weight[:, :1].sum() + x[:, [0, 0, 1, 2]]),
}


@pytest.mark.parametrize('forward', UNTRACEABLE.values(), ids=UNTRACEABLE)
def test_a_model_that_cannot_be_traced(forward):
    model = Toy(forward, a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4))
    model.a.weight.requires_grad_(False)
    model.b.eval()
    with pytest.raises(CompressionError, match=r'Toy could not be traced at image size \(8, 9\)'):
        find_groups(model, (8, 9))
    assert not model.a.weight.requires_grad
    assert model.a.bias.requires_grad
    assert model.training
    assert model.a.training
    assert not model.b.training
    assert not any(module._forward_hooks for module in model.modules())


def test_what_nobody_reads():
    model = Toy(
        lambda m, x: (m.a(x), m.out(x))[1], a=nn.Conv2d(3, 4, 1), out=nn.Conv2d(3, 2, 1)
    )  # fmt: skip
    assert by_name(model)['a'].obstacle == 'no layer reads its channels'


@pytest.mark.parametrize('size', [32, (32,), (0, 8), (8, -8), (8.0, 8), '88', None])
def test_sizes_that_no_image_has(size):
    model = Toy(lambda m, x: m.out(x), out=nn.Conv2d(3, 2, 1))
    with pytest.raises(CompressionError, match=r'image_size is .*\(height, width\)'):
        find_groups(model, size)


class Own(BaseDetector):
    """A detector whose loss reads a map of the backbone's through a layer of its own."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1)
        self.out, self.only_loss = nn.Conv2d(6, 2, 1), nn.Conv2d(8, 4, 1)
        self.broken = broken

    def extract_feat(self, inputs):
        if 'features' in self.broken:
            raise ValueError('no features')
        x = self.a(inputs).relu()
        return x, self.b(x)

    def run(self, mode, inputs):
        if mode in self.broken:
            raise ValueError(f'no {mode}')
        return self.extract_feat(inputs)

    def _forward(self, inputs, samples=None):
        return self.out(self.run('tensor', inputs)[1])

    def loss(self, inputs, samples):
        x, y = self.run('loss', inputs)
        return dict(loss=self.out(y).square().mean() + self.only_loss(x).square().mean())

    def predict(self, inputs, samples, rescale=True):
        self.out(self.run('predict', inputs)[1])
        return samples


@torch.no_grad()
def test_layers_of_the_loss_alone_lose_what_they_read():
    torch.manual_seed(0)
    told, detector = [], Own().eval()
    groups = {group.name: group for group in find_groups(detector, (8, 8), told.append)}
    assert not told
    group = groups['a']
    assert group.obstacle is None
    assert paths(group.consumers) == ['b']  # on which its channels can be scored
    assert paths(group.followers) == ['only_loss']
    plan = Plan().remove(group, [1, 4, 5], axis_sizes(detector, [group]))
    x = torch.randn(2, 3, 8, 8)
    expected = mask_plan(copy.deepcopy(detector), plan).loss(x, None)['loss']
    found = apply_plan(copy.deepcopy(detector), plan).loss(x, None)['loss']
    assert torch.allclose(found, expected) and not torch.allclose(
        found, detector.loss(x, None)['loss']
    )


def test_passes_that_do_not_run_are_told():
    told = []
    groups = {g.name: g for g in find_groups(Own(('predict',)), (8, 8), told.append)}
    assert groups['a'].obstacle is groups['b'].obstacle is None
    assert told == [
        'The predict pass of the Own does not run on a made-up image: no predict. '
        'Layers that only this one runs are not looked at.'
    ]
    told.clear()
    groups = {g.name: g for g in find_groups(Own(('tensor',)), (8, 8), told.append)}
    assert paths(groups['a'].consumers) == ['b', 'only_loss']
    assert len(told) == 1 and told[0].endswith(
        'Its groups are taken from the loss and predict pass.'
    )


def test_the_backbone_is_left_when_no_pass_runs():
    told = []
    groups = {
        g.name: g for g in find_groups(Own(('tensor', 'loss', 'predict')), (8, 8), told.append)
    }
    # Its maps are read by what has not been seen.
    assert {g.obstacle for g in groups.values()} == {"its channels are the detector's outputs"}
    assert len(told) == 3
    assert all(line.endswith('Only its backbone and neck are pruned.') for line in told)
    with pytest.raises(CompressionError, match='no tensor'):
        find_groups(Own(('tensor', 'loss', 'predict', 'features')), (8, 8), told.append)


def test_a_detector_that_has_just_been_trained():
    """CondInst's box head keeps outputs of the last step for its mask head, with their graph."""
    detector = detectors.tiny_detector('condinst')
    expected = find_groups(detector, (64, 64))
    images = detectors.noise(64, 1)
    losses = detector.train().loss(images, made_samples(detector, images))
    detector.parse_losses(losses)[0].backward()
    kept = detector.bbox_head._raw_positive_infos['cls_scores'][0]
    assert not kept.is_leaf
    assert find_groups(detector, (64, 64)) == expected
    assert detector.bbox_head._raw_positive_infos['cls_scores'][0] is kept
