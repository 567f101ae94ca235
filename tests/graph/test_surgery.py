"""Surgery: what is cut off computes the same as what is zeroed, in two independent ways."""

import copy
import functools
from contextlib import ExitStack

import detectors
import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Kept, Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.made_samples import plain_samples
from mmdet_lcp.graph.surgery import axis_size, needs_fresh_inputs


@torch.no_grad()
def outputs(detector, image) -> list[torch.Tensor]:
    cls_scores, bbox_preds = detector.forward(image, mode='tensor')
    return [*cls_scores, *bbox_preds]


def distance(found, expected) -> float:
    """Largest difference of any output, relative to that output's largest value."""
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )


def tolerance_of(case) -> float:
    if next(case.detector.parameters()).dtype == torch.float32:
        return 1e-5
    # mmdet's L2Norm computes in single precision, whatever the detector's.
    return 1e-6 if hasattr(case.detector.neck, 'l2_norm') else 1e-10


def half(group, seed: int = 0) -> list[int]:
    """A random half of a group's channels."""
    generator = torch.Generator().manual_seed(seed + group.channels)
    order = torch.randperm(group.channels, generator=generator)
    return sorted(order[: group.channels // 2].tolist())


def plan_without(case, groups, seed: int = 0) -> Plan:
    totals, plan = axis_sizes(case.detector, groups), Plan()
    for group in groups:
        plan = plan.remove(group, half(group, seed), totals)
    return plan


@torch.no_grad()
def zeroed_by_hooks(detector, group, channels, image) -> list[torch.Tensor]:
    """Outputs with a group's channels at zero behind each layer that writes or scales them."""

    def zero(module, args, output):
        output = output.clone()
        output[:, channels] = 0
        return output

    with ExitStack() as hooks:
        for member in (*group.producers, *group.norms):
            handle = detector.get_submodule(member.path).register_forward_hook(zero)
            hooks.callback(handle.remove)
        return outputs(detector, image)


@pytest.mark.parametrize('name', ['narrow_vgg', 'narrow_r50', 'small', 'small_r18'])
def test_each_group_alone(name, request):
    case = request.getfixturevalue(name)
    image = case.image()
    dense = outputs(case.detector, image)
    tolerance = tolerance_of(case)
    for group in case.prunable[:: 1 + len(case.prunable) // 20]:
        plan = plan_without(case, [group])
        pruned = outputs(apply_plan(copy.deepcopy(case.detector), plan), image)
        masked = outputs(mask_plan(copy.deepcopy(case.detector), plan), image)
        zeroed = zeroed_by_hooks(case.detector, group, half(group), image)
        assert distance(pruned, zeroed) <= tolerance, group.name
        assert distance(masked, zeroed) <= tolerance, group.name
        assert distance(zeroed, dense) > 1e-3, group.name  # or the test would show nothing


@pytest.mark.parametrize('name', ['narrow_vgg', 'narrow_r50', 'small', 'small_r18'])
def test_in_two_steps_as_in_one(name, request):
    case = request.getfixturevalue(name)
    first = plan_without(case, case.prunable[::2])
    totals = axis_sizes(case.detector, case.prunable)
    both = first
    for group in case.prunable[1::2]:
        both = both.remove(group, half(group), totals)
    # A group that has been pruned loses more.
    again = case.prunable[0]
    stays = sorted(set(range(again.channels)) - set(half(again)))
    both = both.remove(again, stays[:1], totals)

    at_once = apply_plan(copy.deepcopy(case.detector), both)
    stepwise = apply_plan(copy.deepcopy(case.detector), first)
    masked = mask_plan(copy.deepcopy(stepwise), both, done=first)
    apply_plan(stepwise, both, done=first)
    one, two = at_once.state_dict(), stepwise.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)
    image = case.image()
    tolerance = tolerance_of(case)
    assert distance(outputs(masked, image), outputs(stepwise, image)) <= tolerance


@pytest.mark.parametrize('name', ['vgg', 'r50'])
def test_all_groups_of_a_full_detector(name, request):
    case = request.getfixturevalue(name)
    plan = plan_without(case, case.prunable)
    masked = mask_plan(copy.deepcopy(case.detector), plan)
    pruned = apply_plan(copy.deepcopy(case.detector), plan)
    image = case.image()
    assert distance(outputs(pruned, image), outputs(masked, image)) <= 1e-5

    # Independent of plan and surgery: which rows and columns of each tensor are left.
    gone: dict[tuple[str, int], set[int]] = {}
    for group in case.prunable:
        for member in group.members:
            dim = 1 if member.axis == 'in_channels' else 0
            gone.setdefault((member.path, dim), set()).update(half(group))
    dense = case.detector.state_dict()
    for key, value in pruned.state_dict().items():
        path = key.rpartition('.')[0]
        expected = dense[key]
        for dim in range(min(2, expected.dim())):
            out = gone.get((path, dim), set())
            keep = [i for i in range(expected.shape[dim]) if i not in out]
            expected = expected[keep] if dim == 0 else expected[:, keep]
        assert torch.equal(value, expected), key


def test_the_modules_know_their_new_sizes(narrow_vgg):
    case = narrow_vgg
    pruned = apply_plan(copy.deepcopy(case.detector), plan_without(case, case.prunable))
    before = dict(case.detector.named_modules())
    changed = 0
    for path, module in pruned.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels)
            assert module.bias.shape == (module.out_channels,)
            changed += module.weight.shape != before[path].weight.shape
            assert repr(module) != repr(before[path]) or 'bbox_head' not in path
    assert changed == 15 + 8 + 12
    assert pruned.neck.l2_norm.n_dims == len(pruned.neck.l2_norm.weight) == 32
    # The dense detector shares nothing with it.
    pruned_ids = {id(p) for p in pruned.parameters()}
    assert not pruned_ids & {id(p) for p in case.detector.parameters()}


def test_pruned_detectors_train_and_keep_what_is_frozen(small):
    detector = copy.deepcopy(small.detector)
    detector.backbone.stage1[0].conv.weight.requires_grad_(False)
    apply_plan(detector, plan_without(small, small.prunable))
    frozen = [name for name, p in detector.named_parameters() if not p.requires_grad]
    assert frozen == ['backbone.stage1.0.conv.weight']
    detector.train()
    cls_scores, bbox_preds = detector.forward(small.image().expand(2, -1, -1, -1), mode='tensor')
    sum(value.sum() for value in [*cls_scores, *bbox_preds]).backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in detector.parameters()
               if p.requires_grad)  # fmt: skip


class Toy(nn.Module):
    """Batch norm without parameters, depth-wise, concatenation, flatten, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.a_norm = nn.BatchNorm2d(6, affine=False)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.c = nn.Conv2d(10, 5, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(5 * 16, 7)
        self.fc2 = nn.Linear(7, 3)
        torch.manual_seed(0)
        self.a_norm.running_mean.normal_()
        self.a_norm.running_var.uniform_(0.5, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        a = self.a_norm(self.depth(self.a(inputs).relu())).relu()
        c = self.c(torch.cat([a, self.b(inputs).relu()], dim=1)).relu()
        return self.fc2(self.fc1(c.flatten(1)).relu())


def test_concatenation_flatten_and_depth_wise_convolutions():
    torch.manual_seed(0)
    dense = Toy().double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    groups = {group.name: group for group in find_groups(dense, (8, 8))}
    totals = axis_sizes(dense, groups.values())
    removed = {'a': [0, 4], 'b': [1], 'c': [2, 3], 'fc1': [0, 5, 6]}
    plan = Plan()
    for name, channels in removed.items():
        assert groups[name].obstacle is None
        plan = plan.remove(groups[name], channels, totals)

    # By hand: the same sums without the channels that went.
    a = [1, 2, 3, 5]
    b, c, fc = [0, 2, 3], [0, 1, 4], [1, 2, 3, 4]
    F = nn.functional
    norm = dense.a_norm
    y = F.conv2d(x, dense.a.weight[a], padding=1).relu()
    y = F.conv2d(y, dense.depth.weight[a], dense.depth.bias[a], padding=1, groups=4)
    y = (y - norm.running_mean[a].view(1, -1, 1, 1)) / (
        norm.running_var[a].view(1, -1, 1, 1) + norm.eps
    ).sqrt()
    y = y.relu()
    z = F.conv2d(x, dense.b.weight[b], dense.b.bias[b], padding=1).relu()
    columns = a + [6 + i for i in b]
    y = F.conv2d(
        torch.cat([y, z], 1), dense.c.weight[c][:, columns], dense.c.bias[c], stride=2, padding=1
    ).relu()
    features = [16 * i + j for i in c for j in range(16)]
    y = F.linear(y.flatten(1), dense.fc1.weight[fc][:, features], dense.fc1.bias[fc]).relu()
    expected = F.linear(y, dense.fc2.weight[:, fc], dense.fc2.bias)

    pruned = apply_plan(copy.deepcopy(dense), plan)
    torch.testing.assert_close(pruned(x), expected, rtol=1e-10, atol=1e-12)
    depth = pruned.depth
    assert (depth.in_channels, depth.out_channels, depth.groups) == (4, 4, 4)
    assert (pruned.fc1.in_features, pruned.fc1.out_features) == (48, 4)
    assert pruned.a_norm.num_features == 4

    # Neither the depth-wise layer's bias nor the norm's mean turns zero into something else.
    masked = mask_plan(copy.deepcopy(dense), plan)
    torch.testing.assert_close(masked(x), expected, rtol=1e-10, atol=1e-12)


def shapes(detector) -> dict:
    return {key: value.shape for key, value in detector.state_dict().items()}


@pytest.mark.parametrize(
    ('path', 'axis', 'kept', 'message'),
    [
        ('backbone.stage9.0.conv', 'out_channels', Kept(16, (0,)), r'no module backbone\.stage9'),
        (
            'backbone.stage1.0.conv',
            'out_channels',
            Kept(20, (0, 1)),
            r'expects 20 out_channels at backbone\.stage1\.0\.conv, the detector has 16',
        ),
        (
            'backbone.stage2.0.bn',
            'out_channels',
            Kept(16, (0, 1)),
            r'expects 16 out_channels at backbone\.stage2\.0\.bn, the detector has 32',
        ),
        (
            'backbone.pool',
            'out_channels',
            Kept(16, (0, 1)),
            r'backbone\.pool is a MaxPool2d: surgery knows',
        ),
    ],
)
def test_a_plan_for_another_detector_changes_nothing(small, path, axis, kept, message):
    plan = plan_without(small, small.prunable[:1])
    plan.modules[path] = {axis: kept}
    detector = copy.deepcopy(small.detector)
    with pytest.raises(CompressionError, match=message):
        apply_plan(detector, plan)
    assert shapes(detector) == shapes(small.detector)


def test_a_plan_cannot_be_applied_twice(small):
    plan = plan_without(small, small.prunable[:1])
    detector = apply_plan(copy.deepcopy(small.detector), plan)
    with pytest.raises(CompressionError, match=r'backbone\.stage1\.0\.conv'):
        apply_plan(detector, plan)


def test_an_empty_plan_changes_nothing(small):
    detector = copy.deepcopy(small.detector)
    before = dict(detector.named_parameters())
    assert apply_plan(detector, Plan()) is detector
    assert all(p is before[name] for name, p in detector.named_parameters())


def test_axis_sizes():
    assert axis_size(nn.Conv2d(3, 5, 1), 'in_channels') == 3
    assert axis_size(nn.Conv2d(3, 5, 1), 'out_channels') == 5
    assert axis_size(nn.Linear(7, 2), 'in_channels') == 7
    assert axis_size(nn.Linear(7, 2), 'out_channels') == 2
    assert axis_size(nn.BatchNorm2d(4), 'out_channels') == 4
    assert axis_size(L2Norm(6), 'out_channels') == 6
    assert axis_size(nn.ConvTranspose2d(3, 5, 1), 'in_channels') == 3
    assert axis_size(nn.ConvTranspose2d(3, 5, 1), 'out_channels') == 5
    assert axis_size(nn.GroupNorm(2, 4), 'out_channels') == 4
    assert axis_size(nn.InstanceNorm2d(4), 'out_channels') == 4
    assert axis_size(nn.PReLU(4), 'out_channels') == 4
    with pytest.raises(CompressionError, match=r'neck\.ln is a LayerNorm: .*GroupNorm'):
        axis_size(nn.LayerNorm(4), 'out_channels', 'neck.ln')


def test_what_changes_what_the_other_channels_carry(narrow_vgg, narrow_r50):
    fresh = [g.name for g in narrow_vgg.prunable if needs_fresh_inputs(narrow_vgg.detector, g)]
    assert fresh == ['backbone.features.21']  # L2Norm
    fresh = [g for g in narrow_r50.prunable if needs_fresh_inputs(narrow_r50.detector, g)]
    assert fresh == [g for g in narrow_r50.prunable if g.kinds == ('coupled',)]
    assert len(fresh) == 3


class Blocks(nn.Module):
    """Grouped and transposed convolutions, group norm, PReLU, instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.group_norm = nn.GroupNorm(3, 6)
        self.prelu = nn.PReLU(6)
        self.b = nn.Conv2d(6, 5, 1)
        self.instance_norm = nn.InstanceNorm2d(5, affine=True)
        self.out = nn.ConvTranspose2d(5, 2, 1)
        torch.manual_seed(0)
        for parameter in self.parameters():
            parameter.data.normal_()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.up(self.grouped(self.a(inputs)).sigmoid())  # a sigmoid makes no zero of a zero
        x = self.prelu(self.group_norm(x))
        return self.out(self.instance_norm(self.b(x)).exp())


@torch.no_grad()
def test_blocks_by_hand():
    """The same sums without the channels that went, written out."""
    dense = Blocks().double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    groups = {group.name: group for group in find_groups(dense, (5, 5))}
    assert {name: (g.channels, g.unit) for name, g in groups.items() if not g.obstacle} == {
        'a': (4, 2), 'up': (3, 2), 'b': (5, 1),
    }  # fmt: skip
    totals, plan = axis_sizes(dense, groups.values()), Plan()
    for name, channels in {'a': [0, 2], 'up': [1], 'b': [0, 4]}.items():
        plan = plan.remove(groups[name], channels, totals)

    F = nn.functional
    a, g, up, b = [2, 3, 6, 7], [3, 4, 5, 9, 10, 11], [0, 1, 4, 5], [1, 2, 3]
    y = F.conv2d(x, dense.a.weight[a], dense.a.bias[a])
    y = F.conv2d(y, dense.grouped.weight[g], dense.grouped.bias[g], padding=1, groups=2)
    y = F.conv_transpose2d(y.sigmoid(), dense.up.weight[g][:, up], dense.up.bias[up], stride=2)
    y = F.group_norm(y, 2, dense.group_norm.weight[up], dense.group_norm.bias[up])
    y = F.prelu(y, dense.prelu.weight[up])
    y = F.conv2d(y, dense.b.weight[b][:, up], dense.b.bias[b])
    y = F.instance_norm(y, weight=dense.instance_norm.weight[b], bias=dense.instance_norm.bias[b])
    expected = F.conv_transpose2d(y.exp(), dense.out.weight[b], dense.out.bias)

    pruned = apply_plan(copy.deepcopy(dense), plan)
    torch.testing.assert_close(pruned(x), expected, rtol=1e-10, atol=1e-12)
    masked = mask_plan(copy.deepcopy(dense), plan)
    torch.testing.assert_close(masked(x), expected, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(dense(x), expected)
    grouped = pruned.grouped
    assert (grouped.in_channels, grouped.out_channels, grouped.groups) == (4, 6, 2)
    assert (pruned.up.in_channels, pruned.up.out_channels) == (6, 4)
    assert (pruned.group_norm.num_channels, pruned.group_norm.num_groups) == (4, 2)
    assert (pruned.prelu.num_parameters, pruned.instance_norm.num_features) == (4, 3)


@pytest.mark.parametrize('path', ['grouped', 'group_norm'])
def test_parts_of_a_block_cannot_stay(path):
    total = axis_size(Blocks().get_submodule(path), 'out_channels')
    plan = Plan({path: {'out_channels': Kept(total, tuple(range(1, total)))}})
    with pytest.raises(CompressionError, match=f'{path} works on groups of [23] channels'):
        apply_plan(Blocks(), plan)


def by_group(module, name, value, axes) -> torch.Tensor:
    """What stays of a grouped convolution's parameter, row by row."""
    outs, ins = module.out_channels // module.groups, module.in_channels // module.groups
    rows = axes['out_channels'].keep if 'out_channels' in axes else range(module.out_channels)
    if name == 'bias' or 'in_channels' not in axes:
        return value[list(rows)]
    kept = [[i % ins for i in axes['in_channels'].keep if i // ins == r // outs] for r in rows]
    return torch.stack([value[r, columns] for r, columns in zip(rows, kept, strict=True)])


def same_rows(detector, pruned, plan) -> bool:
    """Independent of surgery: each tensor is what its axes' plans leave of the original."""
    known = dict(pruned.named_modules())
    for path, module in detector.named_modules():
        axes = plan.modules.get(path, {})
        for name, value in module._parameters.items():
            if value is None:
                continue
            transposed = isinstance(module, nn.ConvTranspose2d)
            for axis, kept in axes.items():
                if axis == 'in_channels' and name != 'weight':
                    continue
                dim = 1 if (axis == 'in_channels') != transposed and name == 'weight' else 0
                if getattr(module, 'groups', 1) == 1:
                    value = value.index_select(dim, torch.tensor(kept.keep))
            if axes and getattr(module, 'groups', 1) > 1:
                value = by_group(module, name, value, axes)
            if not torch.equal(getattr(known[path], name), value):
                return False
    return True


@torch.no_grad()
@pytest.mark.parametrize('family', detectors.FAMILIES)
def test_families_of_detectors(family):
    """All groups of all kinds lose half of their channels, and half of the rest again."""
    size = (detectors.SIZE,) * 2
    dense = detectors.tiny_detector(family).double()
    x = detectors.noise(dtype=torch.float64)
    plan, pruned = Plan(), dense
    for seed in range(2):
        groups = [g for g in find_groups(pruned, size) if g.obstacle is None]
        assert groups
        totals, later = axis_sizes(pruned, groups), Plan()
        for group in groups:
            later = later.remove(group, half(group, seed), totals)
        masked = tensor_forward(mask_plan(copy.deepcopy(pruned), later), x)
        before = tensor_forward(pruned, x)
        pruned = apply_plan(copy.deepcopy(pruned), later)
        found = tensor_forward(pruned, x)
        assert detectors.distance(found, masked) <= 1e-9
        assert detectors.distance(found, before) > 1e-3
        plan = plan.then(later)
    assert same_rows(dense, pruned, plan)
    at_once = tensor_forward(apply_plan(dense, plan), x)
    assert detectors.distance(at_once, found) == 0


@pytest.mark.parametrize('work', [apply_plan, mask_plan])
def test_what_is_not_a_plan_or_of_another_network(work):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    before = copy.deepcopy(network.state_dict())
    plan = Plan({'0': {'out_channels': Kept(4, (1, 2))}, '2': {'in_channels': Kept(6, (1, 2))}})
    missing = Plan({'0': {'out_channels': Kept(4, (1, 2))}, '7': {'in_channels': Kept(4, (1,))}})

    class Result:
        pass

    result = Result()
    result.plan = plan
    for value, message in {
        'another size': (plan, 'expects 6 in_channels at 2, the detector has 4'),
        'a missing module': (missing, 'the Sequential: it has no module 7'),
        'a result': (result, 'a Result is not a plan, it has one: pass its `plan`'),
        'a dict': (plan.to_dict(), 'a dict is not a plan: read it with Plan.from_dict'),
        'nothing': (None, 'a NoneType is not a plan: pass a Plan'),
    }.values():
        with pytest.raises(CompressionError, match=message):
            work(network, value)
    # Nothing has been done by halves.
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@functools.cache
def dense_and_pruned(family: str) -> list[nn.Module]:
    """Half of the channels of every group go; copy them before they are changed."""
    dense = detectors.tiny_detector(family)
    groups = [g for g in find_groups(dense, (64, 64)) if g.obstacle is None]
    totals, plan = axis_sizes(dense, groups), Plan()
    for group in groups:
        plan = plan.remove(group, half(group), totals)
    return [dense, apply_plan(copy.deepcopy(dense), plan)]


@torch.no_grad()
@pytest.mark.parametrize('family', ['retinanet', 'faster_rcnn'])
def test_detections_in_channels_last_format(family):
    _, pruned = dense_and_pruned(family)
    images = detectors.noise(64, 2)
    expected = pruned.predict(images, plain_samples(images))
    pruned = copy.deepcopy(pruned).to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    for one, two in zip(pruned.predict(images, plain_samples(images)), expected, strict=True):
        one, two = one.pred_instances, two.pred_instances
        assert len(one) == len(two) > 10
        torch.testing.assert_close(one.scores, two.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.bboxes, two.bboxes, rtol=1e-4, atol=0.01)
        assert torch.equal(one.labels, two.labels)


@torch.no_grad()
def test_outputs_in_half_precision():
    """As near to single precision as the dense one's; mmcv's NMS takes single precision alone."""
    images = detectors.noise(64, 2)
    distances = []
    for detector in dense_and_pruned('retinanet'):
        expected = outputs(detector, images)
        found = outputs(copy.deepcopy(detector).bfloat16(), images.bfloat16())
        assert {tensor.dtype for tensor in found} == {torch.bfloat16}
        pairs = zip(found, expected, strict=True)
        distances.append(max(float((a.float() - b).norm() / b.norm()) for a, b in pairs))
    dense, pruned = distances
    assert 1e-4 < dense < 0.05  # bfloat16 has eight bits
    assert pruned < 2 * dense
