"""prune(): the Python call, on a plain network and on detectors."""

import copy

import detectors
import numpy as np
import pytest
import small_ssd
import torch
from torch import nn
from torch.nn import functional as F

import mmdet_lcp
from mmdet_lcp import CompressionError, Plan, apply_plan, mask_plan, prune
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.updates import NoUpdate

HALF = dict(ratio=0.5, channel_divisor=1)


class Net(nn.Module):
    """Convolutions, batch norm, pooling, flatten, two linear layers: as torchvision's VGG."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(16, 3, 16, 16))  # statistics of the batch norm
    return net.eval()


@pytest.fixture
def images():
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ any network


def test_half_of_every_layer_goes_and_the_given_network_stays(net, images):
    before = copy.deepcopy(net.state_dict())
    result = prune(net, images, **HALF)
    assert [(g.name, g.total, g.kept) for g in result.groups] == [
        ('features.0', 8, 4),
        ('features.4', 12, 6),
        ('classifier.0', 16, 8),
    ]
    assert [item.name for item in result.skipped] == ['classifier.2']
    assert result.detector.classifier[0].in_features == 24 and type(result.detector) is Net
    assert result.detector(images).shape == (8, 5)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.features[0].out_channels == 8


def test_removed_channels_compute_what_zeroed_ones_do(net, images):
    plan = prune(net, images, ratio=0.4).plan
    masked = mask_plan(copy.deepcopy(net).double(), plan)
    removed = apply_plan(copy.deepcopy(net).double(), plan)
    x = images.double()
    assert (masked(x) - removed(x)).abs().max() < 1e-12
    assert (masked(x) - net.double()(x)).abs().max() > 1e-3


def test_filters_with_the_largest_norms_stay(net, images):
    """By hand, with NumPy."""
    result = prune(
        net, images, criterion='L1Norm', update='NoUpdate', layers=r'features\.0', **HALF
    )
    norms = np.abs(net.features[0].weight.detach().numpy()).sum((1, 2, 3))
    kept = sorted(np.argsort(-norms, kind='stable')[:4].tolist())
    assert list(result.plan.modules['features.0']['out_channels'].keep) == kept
    assert torch.equal(result.detector.features[0].weight, net.features[0].weight[kept])
    assert torch.equal(result.detector.features[4].weight, net.features[4].weight[:, kept])


def test_the_exact_update_comes_nearer_to_the_dense_outputs(net, images):
    def error(update):
        pruned = prune(net, images, criterion='L1Norm', update=update, norm_statistics='keep')
        return F.mse_loss(pruned.detector(images), net(images)).item()

    assert error('ExactUpdate') < 0.7 * error('NoUpdate')


def test_components_by_name_by_dict_and_as_objects(net, images):
    plans = [
        prune(net, images, criterion=criterion, update=update).plan
        for criterion, update in (
            ('L1Norm', 'NoUpdate'),
            (dict(type='mmdet_lcp.L1Norm'), dict(type='NoUpdate')),
            (L1Norm(), NoUpdate()),
        )
    ]
    assert plans[0] == plans[1] == plans[2] and isinstance(plans[0], Plan)


def test_a_share_of_the_multiply_accumulates(net, images):
    result = prune(net, images, target=dict(macs=0.5))
    before, after = result.macs
    # 3x3 convolutions on 16x16 and 8x8 pixels, two linear layers; norms and pooling count as in
    # mmdet's get_flops
    layers = 16 * 16 * 9 * 3 * 8 + 8 * 8 * 9 * 8 * 12 + 48 * 16 + 16 * 5
    assert layers <= before <= 1.1 * layers
    assert 0.35 * before < after <= 0.5 * before
    assert result.allocation.asked == 0.5


def test_by_default_half_of_the_multiply_accumulates_go(net, images):
    by_default = prune(net, images)
    asked = prune(net, images, target=dict(macs=0.5), channel_divisor='auto')
    assert by_default.plan == asked.plan and by_default.macs[1] <= 0.5 * by_default.macs[0]
    # 8, 12 and 16 channels step by 4
    assert {group.kept % 4 for group in by_default.groups} == {0}


def test_the_same_seed_gives_the_same_plan(net, images):
    plans = [prune(net, images, criterion='RandomChannels', seed=s).plan for s in (3, 3, 4)]
    assert plans[0] == plans[1] != plans[2]


def test_progress_is_told(net, images):
    told = []
    prune(net, images, tell=told.append, **HALF)
    assert [line.split(',')[0] for line in told] == [
        '1/3 features.0: 8 -> 4 channels',
        '2/3 features.4: 12 -> 6 channels',
        '3/3 classifier.0: 16 -> 8 channels',
    ]


def test_a_grey_network(images):
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3)).eval()
    result = prune(net, images[:, :1], **HALF)
    assert result.detector[0].weight.shape == (3, 1, 3, 3)


# ------------------------------------------------------------------ detectors


def test_an_ssd_on_a_data_set():
    """With ground truth: the loss of the detector decides as well; the heads stay."""
    detector = small_ssd.build()
    result = prune(detector, small_ssd.Images(), ratio=0.5, selection=dict(num_images=4))
    assert result.groups and not any(g.name.startswith('bbox_head') for g in result.groups)
    assert type(result.detector) is type(detector)
    noise = detectors.noise(64)
    outputs = tensor_forward(result.detector.eval(), noise)
    dense = tensor_forward(detector.eval(), noise)
    assert [o.shape for o in outputs[0]] == [o.shape for o in dense[0]]


def test_a_two_stage_detector_on_bare_images():
    """Without ground truth: outputs are weighted by their variance."""
    detector = detectors.tiny_detector('faster_rcnn')
    result = prune(detector, detectors.noise(64), ratio=0.5)
    assert result.macs[1] < result.macs[0]
    result.detector.eval()
    tensor_forward(result.detector, detectors.noise(64))


# ------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (dict(images='photo.jpg'), r'images: str is not a tensor \(N, C, H, W\)'),
        (dict(images=torch.randn(2, 3, 8, 8).double()), 'images: they are torch.float64'),
        (dict(images=torch.randn(2, 1, 16, 16)), 'images: they have 1 channels'),
        (dict(images=[]), 'images: there is none'),
        (dict(images=torch.randn(3, 8, 8)), r'a Tensor of shape \(3, 8, 8\) is not'),
        (
            dict(images=torch.full((2, 3, 8, 8), torch.nan)),
            r'^The dense network on the selection images.* are the images preprocessed as in its',
        ),
        (dict(ratio=1.5), r'^ratio=1\.5 is'),
        (dict(ratio='0.5'), r"^ratio='0\.5' is"),
        (dict(ratio='none.json'), r"^ratio='none\.json' cannot be read"),
        (dict(ratio={'stage9': 0.5}), r"^ratio: 'stage9' matches no layer\. There are 4 groups"),
        (dict(ratio=0.5, target=dict(macs=0.5)), r'both say how many channels go'),
        (dict(target=dict(mac=0.5)), "^target has .* nearest valid one is 'macs'"),
        (dict(target={}), r'^target: give exactly one of .* \(there is none\)$'),
        (dict(target=0.5), '^target must be a dict'),
        (
            dict(target=dict(macs=0.001)),
            '^target.macs=0.001 .* lower min_channels .* or let layers',
        ),
        (dict(layers=[]), r'^layers=\[\] names no layer'),
        (dict(layers=''), "^layers='' names no layer"),
        (dict(layers=['features', '']), '^layers=.* names no layer'),
        (dict(layers=3), '^layers=3 must be a regular expression'),
        (dict(kinds=None), '^kinds=None must be a list'),
        (dict(criterion=3), "^criterion=3 must be a name such as 'L1Norm'"),
        (dict(criterion=''), "^criterion='' must be a name"),
        (dict(criterion='NoUpdate'), "^criterion='NoUpdate' is not registered"),
        (dict(update=3), '^update=3 must be a name'),
        (dict(criterion='BNScale'), r'Use another criterion, or leave this group out of layers'),
        (dict(objective=dict(alpha='a')), '^objective.alpha='),
        (dict(norm_statistics='x'), '^norm_statistics='),
        (dict(channel_divisor=0), '^channel_divisor=0 must be'),
        (dict(seed='a'), "^seed='a' must be an integer >= 0"),
        (dict(seed=-1), '^seed=-1 must be an integer >= 0'),
        (dict(tell=3), '^tell=3 must take lines'),
        (dict(layers='backbone'), "'backbone' matches no layer"),
        (dict(kinds=('singel',)), "the nearest is 'single'"),
        (dict(criterion='L1Nrm'), "the nearest is 'L1Norm'"),
        (dict(selection=dict(num_image=3)), "nearest valid one is 'num_images'"),
        (dict(criterion='Taylor'), 'the loss of the Net needs a detector of mmdet'),
        (dict(criterion=dict(type='BackwardElimination')), 'the loss of the Net needs'),
        (dict(min_channels=99), r'features\.0: all 8 channels stay with .* min_channels=99'),
        (dict(layers=r'classifier\.2'), r"classifier\.2: its channels are the network's outputs"),
    ],
)
def test_what_is_wrong_is_said(net, images, given, words):
    with pytest.raises(CompressionError, match=words) as error:
        prune(net, **{'images': images, **given})
    for foreign in ('pruning.', 'config', 'custom_imports', 'the detector', 'load_from'):
        assert foreign not in str(error.value)


def conv(ins, outs, **kwargs):
    return nn.Conv2d(ins, outs, 3, padding=1, **kwargs)


def upsampling():
    return nn.Sequential(
        conv(3, 8), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU(), conv(8, 2)
    )


def tied():
    net = nn.Sequential(conv(3, 8), conv(8, 8), nn.ReLU(), conv(8, 8), conv(8, 2))
    net[3].weight = net[1].weight
    return net


@pytest.mark.parametrize(
    ('make', 'given', 'words'),
    [
        (lambda: 'net', {}, 'must be a torch.nn.Module, not str'),
        (lambda: nn.DataParallel(upsampling()), {}, 'give its `module` instead'),
        (lambda: conv(3, 4), {}, "the layer itself: its channels are the network's outputs"),
        (lambda: conv(3, 4), dict(layers='.'), "the layer itself: its channels are the network's"),
        (tied, {}, r'  1: 1\.weight and 3\.weight are one tensor'),
        (
            upsampling,
            dict(criterion='ThiNet'),
            r'  0: criterion ThiNet knows [^\n]*\nLeave these out of layers, or take '
            r"criterion='L1Norm', update='NoUpdate', which can",
        ),
        (
            upsampling,
            dict(layers='^0'),
            r"  0: criterion Backward.* take criterion='L1Norm', update='NoUpdate'\)",
        ),
    ],
)
def test_networks_that_are_not_pruned(images, make, given, words):
    with pytest.raises(CompressionError, match=words):
        prune(make(), images, **given)


@pytest.mark.parametrize(
    'reader', [nn.ConvTranspose2d(8, 8, 2, 2), conv(8, 8, padding_mode='reflect')]
)
def test_by_default_groups_that_do_not_suit_are_left_alone(images, reader):
    net = nn.Sequential(conv(3, 8), nn.ReLU(), reader, nn.ReLU(), conv(8, 2))
    result = prune(net, images, **HALF)
    assert [(g.name, g.kept) for g in result.groups] == [('2', 4)]
    (reason,) = [item.reason for item in result.skipped if item.name == '0']
    assert f'but 2 is {type(reader).__name__}' in reason and 'pruning.' not in reason
    result = prune(
        net, images, criterion='L1Norm', update='NoUpdate', **HALF
    )  # as the reason says
    assert [(g.name, g.kept) for g in result.groups] == [('0', 4), ('2', 4)]


def test_a_backbone_alone_makes_no_detector(images):
    net = nn.Sequential()
    net.backbone, net.classifier = conv(3, 8), nn.Sequential(conv(8, 8), conv(8, 2))
    result = prune(net, images)
    assert [group.name for group in result.groups] == ['backbone', 'classifier.0']


def test_lcp_warns_that_it_has_no_auxiliary_network(net, images):
    with pytest.warns(UserWarning, match='LCP scores channels by the reconstruction') as caught:
        prune(net, images, criterion='LCP', layers=r'features\.0', **HALF)
    assert caught[0].filename == __file__


def test_ratios_from_a_file_and_no_lines(net, images, tmp_path):
    (tmp_path / 'r.json').write_text('{"features": 0.25}')
    result = prune(net, images, ratio=str(tmp_path / 'r.json'), tell=None, channel_divisor=1)
    assert [(g.name, g.kept) for g in result.groups] == [('features.0', 6), ('features.4', 9)]


@pytest.mark.parametrize('training', [False, True])
def test_the_mode_is_that_of_the_given_network(net, images, training):
    result = prune(net.train(training), images, layers=r'features\.0', **HALF)
    assert result.detector.training == net.training == training


def test_a_nan_in_an_image_ends_in_words(net, images):
    images[0, 0, 0, 0] = float('nan')
    with pytest.raises(CompressionError, match=r'outputs are not finite \(nan\)'):
        prune(net, images)


def test_the_public_names():
    for name in ('prune', 'find_groups', 'apply_plan', 'mask_plan', 'explain', 'save', 'load'):
        assert callable(getattr(mmdet_lcp, name)) and name in mmdet_lcp.__all__
