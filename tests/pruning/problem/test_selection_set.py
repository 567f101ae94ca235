"""The selection set: the same images whatever was drawn before, and the maps that hooks see."""

import copy
import random
from types import SimpleNamespace

import numpy as np
import pytest
import small_ssd
import torch
from mmdet.registry import MODELS
from small_ssd import MODEL, SIZE, Images, draw

from mmdet_lcp.auxiliary.attached_detector import LayerAuxiliary
from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary
from mmdet_lcp.graph import Kept, Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.pruning.criteria import LCP, BackwardElimination
from mmdet_lcp.pruning.problem import loss_sensitivity, selection_set
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.selection import draw as draw_module
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.positions import Positions


@pytest.fixture(scope='module')
def dense():
    return small_ssd.build()


def numbers(selection) -> list[int]:
    """Which images were drawn, from the pixels below the augmentation."""
    rows = [batch.inputs[:, 0, -1, 0] * 50 + 100 for batch in selection.batches]
    return [round(float(v) / 10) for v in torch.cat(rows)]


def pixels(selection):
    return torch.cat([batch.inputs for batch in selection.batches])


def test_images_are_drawn_once_and_not_twice(dense):
    selection = draw(dense, num_images=7)
    assert [len(batch.inputs) for batch in selection.batches] == [4, 3]
    drawn = numbers(selection)
    assert len(set(drawn)) == 7
    assert set(drawn) <= set(range(10))
    assert sorted(numbers(draw(dense, num_images=99))) == list(range(10))
    assert [len(b.inputs) for b in draw(dense, num_images=5, batch_size=2).batches] == [2, 2, 1]
    assert draw(dense, cache_gb=0.5).cache_bytes == 2**29


def test_images_are_preprocessed(dense):
    selection = draw(dense, num_images=3)
    for value, number in zip(pixels(selection), numbers(selection), strict=True):
        expected = (10 * number - 100) / 50
        assert torch.allclose(value[:, 8:], torch.tensor(expected))


def test_the_same_seed_draws_the_same_whatever_went_before(dense):
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    first = draw(dense, seed=3, num_images=6)
    random.random(), np.random.rand(5), torch.rand(7)
    second = draw(dense, seed=3, num_images=6)
    assert torch.equal(pixels(first), pixels(second))
    other = draw(dense, seed=4, num_images=6)
    assert numbers(other) != numbers(first)
    # An image's augmentation does not hang on how many are drawn with it.
    fewer = draw(dense, seed=3, num_images=2)
    assert torch.equal(pixels(fewer), pixels(first)[:2])
    assert len({float(v) for v in (pixels(first) - pixels(first)[:, :, -1:])[:, 0, 0, 0]}) > 1


def test_drawing_leaves_the_generators_alone(dense):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    draw(dense, num_images=3)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    ('wanted', 'world', 'each'),
    [(7, 2, 3), (8, 2, 4), (1, 4, 1), (9, 4, 2), (99, 3, 3), (1, 12, 1)],
)
def test_every_rank_gets_its_own_share(dense, monkeypatch, wanted, world, each):
    order = numbers(draw(dense, num_images=10))
    for rank in range(world):
        fake = SimpleNamespace(get_rank=lambda rank=rank: rank, get_world_size=lambda: world)
        monkeypatch.setattr(draw_module, 'dist', fake)
        # Batches of four of the same draw in turn, then every so-manieth of the rest; from the
        # beginning again where images run out.
        whole = each // 4
        expected = [4 * (rank + world * i) + j for i in range(whole) for j in range(4)]
        expected += range(whole * 4 * world + rank, each * world, world)
        selection = draw(dense, num_images=wanted)
        assert numbers(selection) == [order[i % 10] for i in expected]
        assert [n for batch in selection.batches for n in batch.numbers] == expected


def test_regions_are_those_of_the_dense_detectors_scores(dense):
    attachment = LocalizationAuxiliary()
    selection = draw(dense, num_images=5, sampler=attachment.sampler(dense))
    data = Images()
    for batch, shown in zip(selection.batches, _split(numbers(selection), 4), strict=True):
        samples = [data[number]['data_samples'] for number in shown]
        for sample in samples:
            sample.set_metainfo(dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE)))
        expected = attachment.sampler(dense).sample_images(dense, batch.inputs, samples)
        for key in ('gt_boxes', 'labels', 'positive'):
            assert torch.equal(getattr(batch.samples, key), getattr(expected, key))
        # Negatives of equal scores may be picked in any order: the images are plain.
        positive = expected.positive
        assert torch.equal(batch.samples.rois[positive], expected.rois[positive])
        assert batch.samples.positive.any()
        assert batch.samples.img_shape == (SIZE, SIZE)
    assert all(batch.samples is None for batch in draw(dense, num_images=5).batches)


def _split(values, size):
    return [values[i : i + size] for i in range(0, len(values), size)]


# ------------------------------------------------------------------ the problem of a group


def seen_by_hooks(detector, paths, images):
    """Inputs and outputs of modules, by hooks of the test's own."""
    inputs, outputs, handles = {}, {}, []
    for path in paths:

        def hook(module, args, output, path=path):
            inputs[path], outputs[path] = args[0].clone(), output.clone()

        handles.append(detector.get_submodule(path).register_forward_hook(hook))
    with torch.no_grad():
        detector(images, mode='tensor')
    for handle in handles:
        handle.remove()
    return inputs, outputs


def in_one_run(tensors):
    return {path: [tensor] for path, tensor in tensors.items()}


@pytest.fixture(scope='module')
def groups(dense):
    return {group.name: group for group in find_groups(dense, (SIZE, SIZE))}


def problem_of(selection, group, dense, detector, plan, attached=()):
    return selection.problem(group, dense, detector, plan, Objective(), 5, attached)


TAP = 'backbone.stage3.2.conv'  # read by stage4 and by two layers of the head


def test_a_problem_of_the_unpruned_detector(dense, groups):
    selection = draw(dense, num_images=5)
    detector = copy.deepcopy(dense).train()
    problem = problem_of(selection, groups[TAP], dense, detector, Plan())
    readers = ['backbone.stage4.0.conv', 'bbox_head.cls_convs.0.0', 'bbox_head.reg_convs.0.0']
    assert list(problem.consumers) == readers  # in order of execution
    assert (problem.name, problem.channels, problem.seed) == (TAP, 32, 5)
    assert list(problem.producers) == [TAP]
    assert problem.producers[TAP].module is detector.get_submodule(TAP)
    for images, batch in zip(selection.batches, problem.batches, strict=True):
        inputs, outputs = seen_by_hooks(dense, readers, images.inputs)
        torch.testing.assert_close(batch.inputs, in_one_run(inputs))
        torch.testing.assert_close(batch.targets, in_one_run(outputs))
    assert all(m.training for m in detector.modules())  # eval mode for the pass alone
    found = problem.gradients(problem.weights())
    scale = problem.gradients(problem.masked(problem.weights(), [])).losses['reconstruction']
    assert found.losses['reconstruction'] < 1e-10 * scale
    assert LCP().select(problem, 16).keep == sorted(LCP().select(problem, 16).keep)


def test_a_problem_of_a_pruned_detector(dense, groups):
    """Targets are the original's, inputs the pruned one's, channels counted as they are now."""
    totals, plan = axis_sizes(dense, groups.values()), Plan()
    for name in ('backbone.stage2.1.conv', 'backbone.stage3.1.conv'):
        plan = plan.remove(groups[name], range(0, groups[name].channels, 2), totals)
    detector = apply_plan(copy.deepcopy(dense), plan).eval()
    selection = draw(dense, num_images=3)
    problem = problem_of(selection, groups[TAP], dense, detector, plan)
    paths = list(problem.consumers)
    (batch,) = problem.batches
    images = selection.batches[0].inputs
    inputs, _ = seen_by_hooks(detector, paths, images)
    _, outputs = seen_by_hooks(dense, paths, images)
    torch.testing.assert_close(batch.inputs, in_one_run(inputs))
    torch.testing.assert_close(batch.targets, in_one_run(outputs))
    # L at the kernels as they are, from the hooks' maps.
    _, present = seen_by_hooks(detector, paths, images)
    expected = sum(float((present[p] - outputs[p]).square().mean()) / 2 for p in paths)
    found = problem.gradients(problem.weights())
    assert found.losses['reconstruction'] == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_indices_are_those_of_the_present_detector(dense, groups):
    """A consumer that has lost inputs of another group: here, by hand, of a concatenation."""
    group = groups['backbone.stage1.0.conv']
    reader = group.consumers[0].path
    total = axis_sizes(dense, groups.values())[reader, 'in_channels']
    wide = copy.deepcopy(dense)
    module = wide.get_submodule(reader)
    module.weight = torch.nn.Parameter(torch.cat([module.weight, module.weight], dim=1))
    shifted = copy.copy(group.consumers[0])
    object.__setattr__(shifted, 'index', tuple(range(total, 2 * total)))
    object.__setattr__(shifted, 'root', tuple(range(total)))
    moved = copy.copy(group)
    object.__setattr__(moved, 'consumers', (shifted,))
    gone = {0, 3}  # of the other half
    keep = tuple(i for i in range(2 * total) if i not in gone)
    plan = Plan({reader: {'in_channels': Kept(2 * total, keep)}})
    problem = problem_of(draw(dense, num_images=1), moved, wide, wide, plan)
    consumer = problem.consumers[reader]
    assert consumer.index.tolist() == [total + i - 2 for i in range(total)]
    assert consumer.root.tolist() == list(range(total))


def test_the_auxiliary_network_is_a_frozen_copy(dense, groups):
    attachment = LocalizationAuxiliary()
    selection = draw(dense, num_images=4, sampler=attachment.sampler(dense))
    group = groups[TAP]
    network = attachment.build(dense, 64).train()
    attached = LayerAuxiliary(network, attachment.sampler(dense), group.consumers[0].path)
    problem = problem_of(
        selection, group, dense, copy.deepcopy(dense), Plan(), attached.for_selection()
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = problem.gradients(problem.weights())
    assert set(found.losses) == {'reconstruction', 'classification', 'regression'}
    assert all(value > 0 for key, value in found.losses.items() if key != 'reconstruction')
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    frozen = problem.terms[-1].network
    assert frozen is not network and not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    # The loss of the network on the first consumer's output, per image.
    batch = selection.batches[0]
    _, outputs = seen_by_hooks(dense, [group.consumers[0].path], batch.inputs)
    (features,) = outputs.values()
    expected = copy.deepcopy(network).eval()(features, batch.samples)
    assert found.losses['classification'] == pytest.approx(
        float(expected['loss_aux_cls']), rel=1e-5
    )
    assert found.losses['regression'] == pytest.approx(float(expected['loss_aux_box']), rel=1e-5)


def test_targets_are_computed_ahead_and_stay_the_same(monkeypatch):
    """One pass of the original detector serves all groups that fit, with the same maps."""
    torch.manual_seed(0)
    dense = MODELS.build(copy.deepcopy(MODEL)).eval()
    groups = [g for g in find_groups(dense, (SIZE, SIZE)) if g.obstacle is None][:4]
    paths = [member.path for group in groups for member in group.consumers]
    images = [SelectionImages(torch.randn(n, 3, SIZE, SIZE), None) for n in (2, 1)]
    runs = []
    real = selection_set.runs_until

    def counted(model, run, wanted, what='output'):
        found = real(model, run, wanted, what)
        if what == 'output' and len(next(iter(found.values()))[0]) == 2:
            runs.append(list(wanted))
        return found

    monkeypatch.setattr(selection_set, 'runs_until', counted)

    def targets(cache_bytes, announce):
        chosen = SelectionSet(images, cache_bytes)
        if announce:
            chosen.expect(paths, dense)
        runs.clear()
        found = []
        for group in groups:
            problem = chosen.problem(group, dense, dense, Plan(), Objective(), 0)
            found.append([{**batch.targets} for batch in problem.batches])
        return found, len(runs)

    plain, plain_runs = targets(0, announce=False)
    ahead, ahead_runs = targets(1 << 30, announce=True)
    tight, tight_runs = targets(0, announce=True)
    assert (plain_runs, ahead_runs, tight_runs) == (4, 1, 4)
    for other in (ahead, tight):
        for a, b in zip(plain, other, strict=True):
            for x, y in zip(a, b, strict=True):
                assert x.keys() == y.keys()
                for path in x:
                    torch.testing.assert_close(x[path], y[path])


@pytest.mark.parametrize('once', [True, False])
@pytest.mark.parametrize('images', [2, 6, 24])
def test_outputs_that_are_kept_fit_into_half_of_the_cache(images, once):
    """However many images there are, those of the group at hand and of groups gone by included."""
    torch.manual_seed(0)
    dense = MODELS.build(copy.deepcopy(MODEL)).eval()
    groups = [g for g in find_groups(dense, (SIZE, SIZE)) if g.obstacle is None][:5]
    paths = [member.path for group in groups for member in group.consumers]
    batches = [SelectionImages(torch.randn(2, 3, SIZE, SIZE), None) for _ in range(images // 2)]
    seen = seen_by_hooks(dense, paths, batches[0].inputs)[1]
    cache_bytes = 2 * sum(output.nbytes for output in seen.values())  # of two images
    chosen = SelectionSet(batches, cache_bytes)
    chosen.expect(paths, dense)
    for number, group in enumerate(groups):
        problem = chosen.problem(group, dense, dense, Plan(), Objective(), 0)
        for batch in problem.batches.once() if once else problem.batches:
            assert batch.targets.keys() == {member.path for member in group.consumers}
        kept = [(path, run) for known in chosen._targets for path in known for run in known[path]]
        assert sum(run.nbytes for _, run in kept) <= cache_bytes / 2
        gone = {member.path for group in groups[:number] for member in group.consumers}
        assert not gone & {path for path, _ in kept}
        if images == 2:  # all that is to come is there
            assert {path for path, _ in kept} == set(paths) - gone


@pytest.mark.parametrize('once', [True, False])
def test_outputs_for_one_pass_make_room_for_those_to_come(once):
    """With room for one of two layers: the next one's, unless the first is passed over again."""
    torch.manual_seed(0)
    dense = MODELS.build(copy.deepcopy(MODEL)).eval()
    first, second = [g for g in find_groups(dense, (SIZE, SIZE)) if g.obstacle is None][1:3]
    paths = [member.path for group in (first, second) for member in group.consumers]
    images = SelectionImages(torch.randn(2, 3, SIZE, SIZE), None)
    seen = seen_by_hooks(dense, paths, images.inputs)[1]
    chosen = SelectionSet([images], 2 * max(output.nbytes for output in seen.values()))
    chosen.expect(paths, dense)
    problem = chosen.problem(first, dense, dense, Plan(), Objective(), 0)
    for _ in problem.batches.once() if once else problem.batches:
        pass
    assert list(chosen._targets[0]) == [paths[once]]


def test_gradients_by_position_are_kept_where_positions_ask_for_them(dense, groups):
    """The metrics are the same."""
    found = []
    for saliency in (0.0, 0.1):
        positions = Positions(objects=0.7, saliency=saliency)
        selection = draw(dense, num_images=3, positions=positions)
        problem = selection.problem(
            groups[TAP], dense, copy.deepcopy(dense), Plan(), Objective(), 0, needs_metrics=True
        )
        (batch,) = problem.batches
        assert (batch.sensitivity is None) == (saliency == 0)
        found.append(problem.metrics)
    assert found[0] and found[0].keys() == found[1].keys()
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_layers_carry_their_maps_and_norms(dense):
    groups = [g for g in find_groups(dense, (SIZE, SIZE)) if g.obstacle is None]
    group = groups[1]
    selection = SelectionSet.draw(
        Images(),
        dense,
        SelectionConfig(num_images=2),
        batch_size=2,
        seed=0,
        sampler=None,
        norms={group.consumers[0].path: groups[2].norms[0].path},
    )
    detector = copy.deepcopy(dense)
    problem = problem_of(selection, group, dense, detector, Plan())
    assert list(problem.producers) == [member.path for member in group.producers]
    assert list(problem.norms) == [member.path for member in group.norms]
    (producer,) = problem.producers.values()
    assert producer.module is detector.get_submodule(group.producers[0].path)
    assert producer.index.tolist() == list(range(group.channels))
    consumer = problem.consumers[group.consumers[0].path]
    assert consumer.norm is detector.get_submodule(groups[2].norms[0].path)
    assert problem.images is selection.batches
    assert problem.detector is detector


@pytest.mark.parametrize('reaches', [True, False])
def test_where_the_loss_does_not_reach_there_is_no_metric(dense, groups, monkeypatch, reaches):
    """A loss of the deepest level alone reaches the next layer, not the heads of the tap."""

    def loss(detector, images):
        scores = detector(images.inputs, images.data_samples, mode='tensor')[0]
        return scores[-1].square().mean() if reaches else torch.zeros(())

    monkeypatch.setattr(loss_sensitivity, 'detection_loss', loss)
    selection = draw(dense, num_images=2, positions=Positions(objects=0.7, saliency=0.1))
    problem = selection.problem(
        groups[TAP], dense, copy.deepcopy(dense), Plan(), Objective(), 0, needs_metrics=True
    )
    assert list(problem.metrics) == (['backbone.stage4.0.conv'] if reaches else [])
    (batch,) = problem.batches
    assert batch.sensitivity['bbox_head.cls_convs.0.0'][0].abs().max() == 0
    keep = BackwardElimination().select(problem, 8).keep
    assert len(keep) == 8
    if not reaches:
        assert keep == BackwardElimination(metric='variance').select(problem, 8).keep


def test_targets_and_metrics_are_of_the_outputs_that_are_left(dense, groups):
    """What a consumer writes has lost channels before what it reads does."""
    first, second = groups['backbone.stage3.1.conv'], groups[TAP]
    totals = axis_sizes(dense, [first, second])
    plan = Plan().remove(second, range(0, 32, 3), totals)
    kept = [channel for channel in range(32) if channel % 3]
    detector = apply_plan(copy.deepcopy(dense), plan)
    selection = draw(dense, num_images=4)
    whole = selection.problem(first, dense, dense, Plan(), Objective(), 0, needs_metrics=True)
    problem = selection.problem(first, dense, detector, plan, Objective(), 0, needs_metrics=True)
    assert problem.metrics.keys() == whole.metrics.keys() == {TAP}
    assert torch.equal(problem.metrics[TAP], whole.metrics[TAP][kept][:, kept])
    for batch, images in zip(problem.batches, selection.batches, strict=True):
        seen = seen_by_hooks(dense, [TAP], images.inputs)[1]
        assert torch.equal(batch.targets[TAP][0], seen[TAP][:, kept])
    assert len(BackwardElimination().select(problem, 20).keep) == 20
    before = problem.loss(problem.masked(problem.weights(), range(20)))
    ExactUpdate().apply(problem, list(range(20)))
    assert problem.loss(problem.weights()) < before
