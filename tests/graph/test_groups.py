"""Channel groups: hand-written expectations for real detectors and for awkward connections."""

from itertools import pairwise

import detectors
import pytest
import torch
from torch import nn
from toys import Toy, by_name, paths

from mmdet_lcp.graph import Member, find_groups

VGG_CONVS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33]


def heads(level: int) -> list[str]:
    return [f'bbox_head.cls_convs.{level}.0', f'bbox_head.reg_convs.{level}.0']


def same_channels(member: Member, count: int) -> bool:
    """Whether channel i of the member is channel i of the group."""
    return member.index == member.root == tuple(range(count))


def convs(detector: nn.Module) -> dict[str, nn.Conv2d]:
    return {p: m for p, m in detector.named_modules() if isinstance(m, nn.Conv2d)}


@pytest.mark.parametrize('name', ['vgg', 'r50', 'small', 'small_r18', 'narrow_vgg', 'narrow_r50'])
def test_every_convolution_is_written_and_read_once(name, request):
    """Each conv's outputs belong to one group, its inputs too, but for the image's channels."""
    case = request.getfixturevalue(name)
    layers = convs(case.detector)
    written = [member.path for group in case.groups for member in group.producers]
    assert sorted(written) == sorted(layers)
    read: dict[str, list[int]] = {}
    for group in case.groups:
        for member in group.consumers:
            read.setdefault(member.path, []).extend(member.index)
    first = next(iter(layers))
    assert set(layers) - set(read) == {first}
    for path, index in read.items():
        assert sorted(index) == list(range(layers[path].in_channels))
    for group in case.groups:
        assert group.channels == layers[group.name].out_channels
        for member in group.members:
            assert same_channels(member, group.channels)  # nothing is concatenated or flattened


def test_groups_of_ssd300_vgg16(vgg):
    names = [f'backbone.features.{index}' for index in VGG_CONVS]
    assert [g.name for g in vgg.groups][: len(names)] == names
    for name, following in pairwise(names):
        expected = [following]
        if name == 'backbone.features.21':  # conv4_3
            expected += heads(0)
        assert paths(vgg.by_name[name].consumers) == expected
        assert paths(vgg.by_name[name].producers) == [name]
    last = vgg.by_name['backbone.features.33']
    assert paths(last.consumers) == ['neck.extra_layers.0.0.conv', *heads(1)]
    for level in range(4):
        first, second = (vgg.by_name[f'neck.extra_layers.{level}.{i}.conv'] for i in (0, 1))
        assert paths(first.consumers) == [second.name]
        following = [f'neck.extra_layers.{level + 1}.0.conv'] if level < 3 else []
        assert paths(second.consumers) == following + heads(level + 2)
    assert len(vgg.prunable) == 15 + 8
    assert len(vgg.groups) == 15 + 8 + 12


def test_l2_norm_is_part_of_conv4_3s_group_and_of_no_other(vgg):
    norms = {group.name: paths(group.norms) for group in vgg.groups if group.norms}
    assert norms == {'backbone.features.21': ['neck.l2_norm']}
    assert vgg.by_name['backbone.features.21'].norms[0].axis == 'out_channels'


@pytest.mark.parametrize('name', ['vgg', 'r50', 'small', 'small_r18'])
def test_head_outputs_cannot_be_pruned(name, request):
    case = request.getfixturevalue(name)
    outputs = [group for group in case.groups if group.name.startswith('bbox_head.')]
    assert len(outputs) == 2 * len(case.detector.bbox_head.cls_convs)
    for group in outputs:
        assert group.consumers == ()
        assert 'outputs' in group.obstacle


def test_groups_inside_bottlenecks_have_one_consumer(r50):
    inside = {}
    for layer, blocks in {1: 3, 2: 4, 3: 6}.items():
        for block in range(blocks):
            base = f'backbone.layer{layer}.{block}'
            for i in (1, 2):
                inside[f'{base}.conv{i}'] = f'{base}.conv{i + 1}'
                assert paths(r50.by_name[f'{base}.conv{i}'].norms) == [f'{base}.bn{i}']
    assert len(inside) == 26
    for name, consumer in inside.items():
        group = r50.by_name[name]
        assert (paths(group.producers), paths(group.consumers)) == ([name], [consumer])
        assert group.obstacle is None
    single = {g.name for g in r50.prunable if g.kinds == ('single',)}
    assert {name for name in single if name.startswith('backbone.')} == {
        *inside,
        'backbone.conv1',
    }


def test_the_stem_feeds_both_ways_of_the_first_block(r50):
    stem = r50.by_name['backbone.conv1']
    assert paths(stem.norms) == ['backbone.bn1']
    assert sorted(paths(stem.consumers)) == [
        'backbone.layer1.0.conv1',
        'backbone.layer1.0.downsample.0',
    ]


def test_residual_additions_couple_layers(r50):
    for layer, blocks in {1: 3, 2: 4, 3: 6}.items():
        base = f'backbone.layer{layer}'
        writers = [f'{base}.{block}.conv3' for block in range(blocks)]
        writers.append(f'{base}.0.downsample.0')
        group = r50.by_name[f'{base}.0.conv3']
        assert sorted(paths(group.producers)) == sorted(writers)
        readers = [f'{base}.{block}.conv1' for block in range(1, blocks)]
        if layer < 3:
            following = f'backbone.layer{layer + 1}.0'
            readers += [f'{following}.conv1', f'{following}.downsample.0']
        else:
            readers += ['neck.extra_layers.0.0.conv', *heads(0)]
        assert sorted(paths(group.consumers)) == sorted(readers)
        norms = [f'{base}.{block}.bn3' for block in range(blocks)]
        assert sorted(paths(group.norms)) == sorted([*norms, f'{base}.0.downsample.1'])
        assert (group.kinds, group.obstacle, group.unit) == (('coupled',), None, 1)


def test_groups_of_the_small_ssd(small):
    depths = (2, 2, 3, 3, 3)
    names = [f'backbone.stage{s + 1}.{i}' for s, depth in enumerate(depths) for i in range(depth)]
    for name, following in pairwise(names):
        group = small.by_name[f'{name}.conv']
        expected = [f'{following}.conv', *(heads(0) if name == 'backbone.stage4.2' else [])]
        assert paths(group.consumers) == expected
        assert paths(group.norms) == [f'{name}.bn']
    assert len(small.prunable) == 13 + 4
    assert all(group.obstacle is None for group in small.groups if group.consumers)


def test_in_basic_blocks_only_the_inner_channels_are_single(small_r18):
    prunable = [
        g.name
        for g in small_r18.prunable
        if g.name.startswith('backbone.') and g.kinds == ('single',)
    ]
    expected = [
        f'backbone.layer{layer}.{block}.conv1' for layer in range(1, 5) for block in (0, 1)
    ]
    assert sorted(prunable) == expected
    stem = small_r18.by_name['backbone.conv1']  # layer1 has no downsampling: it adds the stem
    writers = ['backbone.conv1', 'backbone.layer1.0.conv2', 'backbone.layer1.1.conv2']
    assert paths(stem.producers) == writers


def test_channels_after_a_flatten_map_to_all_their_features():
    def forward(m, x):
        return m.fc2(torch.relu(m.fc1(torch.relu(m.conv(x)).flatten(1))))

    model = Toy(
        forward, conv=nn.Conv2d(3, 5, 3, stride=2, padding=1), fc1=nn.Linear(80, 6),
        fc2=nn.Linear(6, 2),
    )  # fmt: skip
    groups = by_name(model)
    (member,) = groups['conv'].consumers
    assert (member.path, member.axis) == ('fc1', 'in_channels')
    # (N, C, 4, 4) flattens to C blocks of 16.
    assert dict(zip(member.index, member.root, strict=True)) == {i: i // 16 for i in range(80)}
    assert member.map([3, 1]) == [*range(16, 32), *range(48, 64)]
    assert paths(groups['fc1'].consumers) == ['fc2']
    assert groups['fc2'].obstacle


def test_channels_after_a_concatenation_are_shifted():
    def forward(m, x):
        return m.out(torch.cat([torch.relu(m.a(x)), torch.relu(m.b(x))], dim=1))

    model = Toy(
        forward, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 6, 1), out=nn.Conv2d(10, 2, 1)
    )  # fmt: skip
    groups = by_name(model)
    (a,), (b,) = groups['a'].consumers, groups['b'].consumers
    assert (a.index, a.root) == (tuple(range(4)), tuple(range(4)))
    assert (b.index, b.root) == (tuple(range(4, 10)), tuple(range(6)))
    assert b.map([0, 5]) == [4, 9]
    assert groups['a'].obstacle is None
    assert groups['b'].obstacle is None


def test_a_concatenation_of_a_map_with_itself_reads_each_channel_twice():
    def forward(m, x):
        y = torch.relu(m.a(x))
        return m.out(torch.cat([y, y], dim=1))

    groups = by_name(Toy(forward, a=nn.Conv2d(3, 4, 1), out=nn.Conv2d(8, 2, 1)))
    (member,) = groups['a'].consumers
    assert dict(zip(member.index, member.root, strict=True)) == {i: i % 4 for i in range(8)}
    assert member.map([1]) == [1, 5]


def test_a_sum_couples_two_layers():
    model = Toy(
        lambda m, x: m.out(torch.relu(m.a(x) + m.b(x))),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 4, 1),
        out=nn.Conv2d(4, 2, 1),
    )
    group = by_name(model)['a']
    assert paths(group.producers) == ['a', 'b']
    assert (group.kinds, group.obstacle) == (('coupled',), None)


def test_halves_that_meet_again_are_two_groups():
    """A cross-stage block with channel attention, as in RTMDet: by hand."""
    model = Toy(
        lambda m, x: m.out(m.attend(m, torch.cat([m.a(x), m.b(x)], 1))),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Conv2d(3, 6, 1),
        fc=nn.Conv2d(10, 10, 1),
        out=nn.Conv2d(10, 2, 1),
    )
    model.attend = lambda m, x: x * m.fc(x.mean((2, 3), keepdim=True)).sigmoid()
    groups = by_name(model)
    assert set(groups) == {'a', 'b', 'out'}
    first, second = groups['a'], groups['b']
    assert paths(first.producers) == ['a', 'fc']
    assert first.producers[1].index == (0, 1, 2, 3)
    assert paths(second.producers) == ['b', 'fc']
    assert second.producers[1].index == (4, 5, 6, 7, 8, 9)
    assert second.producers[1].root == (0, 1, 2, 3, 4, 5)
    assert [(m.path, m.index) for m in first.consumers] == [
        ('fc', (0, 1, 2, 3)), ('out', (0, 1, 2, 3)),
    ]  # fmt: skip
    assert first.kinds == second.kinds == ('coupled',)


def test_groups_that_share_a_producer_have_names_of_their_own():
    model = Toy(
        lambda m, x: (lambda y: (m.left(y[:, :4]), m.right(y[:, 4:])))(m.a(x)),
        a=nn.Conv2d(3, 10, 1), left=nn.Conv2d(4, 2, 1), right=nn.Conv2d(6, 2, 1),
    )  # fmt: skip
    groups = by_name(model)
    assert set(groups) == {'a[0:4]', 'a[4:10]', 'left', 'right'}
    assert groups['a[4:10]'].producers[0].index == tuple(range(4, 10))
    assert [(m.path, m.index) for m in groups['a[4:10]'].consumers] == [('right', tuple(range(6)))]
    # The number 4 is written into the forward pass: what comes before it cannot go.
    assert 'without half of its channels' in groups['a[0:4]'].obstacle
    assert groups['a[4:10]'].obstacle is None


FPN = [f'neck.fpn_convs.{level}.conv' for level in range(4)]


LATERALS = [f'neck.lateral_convs.{level}.conv' for level in range(4)]


def test_groups_of_faster_rcnn():
    """Pyramid, RPN and RoI head by hand."""
    groups = {g.name: g for g in find_groups(detectors.tiny_detector('faster_rcnn'), (64, 64))}
    assert paths(groups[LATERALS[0]].producers) == LATERALS
    assert paths(groups[LATERALS[0]].consumers) == FPN
    maps = groups[FPN[0]]
    assert paths(maps.producers) == FPN
    assert paths(maps.norms) == ['roi_head.bbox_roi_extractor']
    rpn, fc = maps.consumers
    assert (rpn.path, rpn.calls) == ('rpn_head.rpn_conv', 5)
    assert (fc.path, fc.calls) == ('roi_head.bbox_head.shared_fcs.0', 1)
    # (R, 12, 7, 7) flattens to 12 blocks of 49.
    assert dict(zip(fc.index, fc.root, strict=True)) == {i: i // 49 for i in range(12 * 49)}
    assert maps.kinds == ('coupled', 'shared')
    assert paths(groups['rpn_head.rpn_conv'].consumers) == ['rpn_head.rpn_cls', 'rpn_head.rpn_reg']
    head = 'roi_head.bbox_head'
    assert paths(groups[f'{head}.shared_fcs.0'].consumers) == [f'{head}.shared_fcs.1']
    assert paths(groups[f'{head}.shared_fcs.1'].consumers) == [f'{head}.fc_cls', f'{head}.fc_reg']
    stuck = {name for name, group in groups.items() if group.obstacle}
    assert stuck == {'rpn_head.rpn_cls', 'rpn_head.rpn_reg', f'{head}.fc_cls', f'{head}.fc_reg'}


@pytest.mark.parametrize('family', detectors.FAMILIES)
def test_every_axis_of_every_family_is_accounted_for(family):
    """Each conv's and linear layer's outputs belong to one group, its inputs too."""
    detector = detectors.tiny_detector(family)
    groups = find_groups(detector, (detectors.SIZE,) * 2)
    owned: dict[tuple[str, str], list[int]] = {}
    for group in groups:
        for member in group.members:
            owned.setdefault((member.path, member.axis), []).extend(member.index)
            counts = [member.root.count(channel) for channel in range(group.channels)]
            assert len(set(counts)) == 1  # all of a group's channels are alike
    from_image = []
    for path, module in detector.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            outs = getattr(module, 'out_channels', None) or module.out_features
            assert sorted(owned[path, 'out_channels']) == list(range(outs)), path
            ins = getattr(module, 'in_channels', None) or module.in_features
            if getattr(module, 'groups', 1) == 1:
                if (path, 'in_channels') in owned:
                    assert sorted(owned[path, 'in_channels']) == list(range(ins)), path
                else:
                    from_image.append(path)
        elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            count = len(module.weight)
            assert sorted(owned[path, 'out_channels']) == list(range(count)), path
    assert len(from_image) == 1 and from_image[0].startswith('backbone.')
