"""The regions of a two-stage detector's heads: the original's best, the same for both."""

import copy

import detectors
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.pruning.criteria import DCP, LCP, BackwardElimination, GroupFisher, Taylor, ThiNet
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.seeds import seeded
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.proposals import proposed_regions

SIZE = detectors.SIZE
FPN, FC = 'neck.fpn_convs.0.conv', 'roi_head.bbox_head.shared_fcs.0'


def samples(count: int = 2) -> list[DetDataSample]:
    found = []
    for number in range(count):
        shape = (SIZE, SIZE)
        sample = DetDataSample(
            metainfo=dict(
                img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape,
                scale_factor=(1.0, 1.0), img_id=number,
            )
        )  # fmt: skip
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[4.0 + 9 * number, 6, 40, 50], [30, 20, 62, 60]]),
            labels=torch.tensor([number, 2]),
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.empty(0, 4), labels=torch.empty(0).long()
        )
        found.append(sample)
    return found


@pytest.fixture(scope='module')
def dense():
    return detectors.tiny_detector('faster_rcnn').requires_grad_(False)


@pytest.fixture(scope='module')
def groups(dense):
    return {group.name: group for group in find_groups(dense, (SIZE, SIZE))}


def batch_of(dense, count=8, images=2) -> SelectionImages:
    inputs = detectors.noise(images=images)
    regions = proposed_regions(dense, inputs, samples(images), count)
    return SelectionImages(inputs, None, samples(images), regions)


@torch.no_grad()
def test_they_are_the_best_of_the_rpn(dense):
    inputs = detectors.noise()
    regions = proposed_regions(dense, inputs, samples(), 5)
    found = dense.rpn_head.predict(dense.extract_feat(inputs), samples())
    for boxes, proposals in zip(regions.proposals, found, strict=True):
        best = proposals.bboxes[proposals.scores.topk(5).indices]
        assert torch.equal(boxes, best)
    assert [rois.shape for rois in regions.rois] == [(10, 5)]
    assert torch.equal(regions.rois[0][5:, 1:], regions.proposals[1])
    first = regions.first()
    assert torch.equal(first.rois[0], regions.rois[0][:5]) and len(first.proposals) == 1


def test_of_a_cascade_later_regions_are_noted():
    cascade = detectors.tiny_detector('cascade_rcnn')
    regions = proposed_regions(cascade, detectors.noise(), samples(), 6)
    assert [len(rois) for rois in regions.rois] == [12, 12, 12]
    assert not torch.equal(regions.rois[0], regions.rois[2])


def test_without_an_rpn(dense, monkeypatch):
    alone = copy.deepcopy(dense)
    del alone.rpn_head
    with pytest.raises(CompressionError, match=r'FasterRCNN has no RPN.*proposal_file'):
        proposed_regions(alone, detectors.noise(), samples(), 5)
    given = samples()
    given[0].proposals = InstanceData(bboxes=torch.tensor([[1, 2, 30, 40.0], [3, 3, 9, 9]]))
    given[1].proposals = InstanceData(bboxes=torch.empty(0, 4))
    regions = proposed_regions(alone, detectors.noise(), given, 1)
    assert regions.proposals[0].tolist() == [[1, 2, 30, 40]]
    assert regions.proposals[1].tolist() == [[0, 0, SIZE, SIZE]]  # rather than nothing


def by_hooks(detector, images: SelectionImages, paths):
    """Inputs and outputs of every run of some layers, by hooks of the test's own."""
    inputs, outputs, handles = {}, {}, []
    for path in paths:

        def note(module, args, output, path=path):
            inputs.setdefault(path, []).append(args[0].clone())
            outputs.setdefault(path, []).append(output.clone())

        handles.append(detector.get_submodule(path).register_forward_hook(note))
    with torch.no_grad():
        features = detector.extract_feat(images.inputs)
        detector.rpn_head(features)
        detector.roi_head.forward(
            features,
            [InstanceData(bboxes=boxes) for boxes in images.regions.proposals],
            images.data_samples,
        )
    for handle in handles:
        handle.remove()
    return inputs, outputs


def test_every_run_of_the_present_detector_is_read(dense, groups):
    """Runs of the RPN on five levels; regions of the original, though the present one's differ."""
    plan = Plan().remove(
        groups['backbone.layer1.0.conv1'], [0, 3, 5], axis_sizes(dense, groups.values())
    )
    detector = apply_plan(copy.deepcopy(dense), plan)
    images = batch_of(dense)
    selection = SelectionSet([images], 1 << 30)
    problem = selection.problem(groups[FPN], dense, detector, plan, Objective(), 0)
    (batch,) = problem.batches
    inputs, _ = by_hooks(detector, images, problem.consumers)
    _, outputs = by_hooks(dense, images, problem.consumers)
    assert [len(runs) for runs in batch.inputs.values()] == [5, 1]
    torch.testing.assert_close(batch.inputs, inputs)
    torch.testing.assert_close(batch.targets, outputs)
    assert batch.owners['rpn_head.rpn_conv'] == [None] * 5
    assert batch.owners[FC][0].tolist() == [0] * 8 + [1] * 8
    own = proposed_regions(detector, images.inputs, images.data_samples, 8)
    assert not torch.allclose(own.rois[0], images.regions.rois[0])
    # Computed ahead, the targets are the same.
    selection = SelectionSet([images], 1 << 30)
    selection.expect([m.path for group in groups.values() for m in group.consumers], dense)
    problem = selection.problem(groups[FPN], dense, detector, plan, Objective(), 0)
    torch.testing.assert_close(next(iter(problem.batches)).targets, outputs)


def test_gradients_of_all_runs_make_the_metric(dense, groups):
    """E[g g'] over the five levels of the RPN, against gradients taken by hand."""
    images = batch_of(dense)
    selection = SelectionSet([images], 1 << 30)
    problem = selection.problem(
        groups[FPN], dense, dense, Plan(), Objective(), 0, needs_metrics=True
    )
    detector = copy.deepcopy(dense).requires_grad_(True).eval()
    kept = []
    hook = detector.rpn_head.rpn_conv.register_forward_hook(
        lambda module, args, output: kept.append(output.clone()) or kept[-1]
    )
    with seeded(0):  # the samplers draw at random
        losses = detector.loss(images.inputs, copy.deepcopy(images.data_samples))
    hook.remove()
    total, _ = detector.parse_losses(losses)
    gradients = torch.autograd.grad(total, kept)
    assert len(gradients) == 5
    rows = torch.cat([g.flatten(2).transpose(1, 2).flatten(0, 1) for g in gradients])
    expected = (rows.T @ rows / len(rows)).double()
    found = problem.metrics['rpn_head.rpn_conv']
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    assert set(problem.metrics) == set(problem.consumers)


CRITERIA = [
    LCP(greedy_steps=2), DCP(channels_per_step=4), BackwardElimination(), ThiNet(50),
    GroupFisher(), Taylor(),
]  # fmt: skip


@pytest.mark.parametrize('criterion', CRITERIA, ids=lambda c: type(c).__name__)
def test_criteria_and_updates_on_the_pyramid(dense, groups, criterion):
    """Coupled, shared, and read through a flatten of 7x7."""
    detector = copy.deepcopy(dense).requires_grad_(True)
    problem = SelectionSet([batch_of(dense)], 1 << 30).problem(
        groups[FPN], dense, detector, Plan(), Objective(), 0,
        needs_metrics=criterion.needs_metrics,
    )  # fmt: skip
    criterion.check(dense, groups[FPN])
    selection = criterion.select(problem, 5)
    assert len(set(selection.keep)) == 5 and len(selection.scores) == 12
    assert torch.tensor(selection.scores).isfinite().all()


@torch.no_grad()
def test_the_exact_update_behind_the_flatten(dense, groups):
    """With many more rows than unknowns it gives what NumPy's least squares gives."""
    detector = copy.deepcopy(dense).double()
    original = copy.deepcopy(detector)
    images = batch_of(dense, count=400)
    images.inputs = images.inputs.double()
    images.regions.proposals = [boxes.double() for boxes in images.regions.proposals]
    images.regions.rois = [rois.double() for rois in images.regions.rois]
    problem = SelectionSet([images], 1 << 30).problem(
        groups[FPN], original, detector, Plan(), Objective(), 0
    )
    del problem.consumers['rpn_head.rpn_conv']
    fc = detector.get_submodule(FC)
    keep = [1, 4]  # 98 inputs
    (batch,) = problem.batches
    x, y = batch.inputs[FC][0], batch.targets[FC][0]
    columns = [i for channel in keep for i in range(49 * channel, 49 * channel + 49)]
    mean_x, mean_y = x[:, columns].mean(0), y.mean(0)
    solution = torch.linalg.lstsq(x[:, columns] - mean_x, y - mean_y, driver='gelsd').solution
    log = ExactUpdate(ridge=1e-9).apply(problem, keep)
    assert log['error_after'] <= log['error_before']
    fitted = nn.functional.linear(x[:, columns], fc.weight[:, columns], fc.bias)
    best = (x[:, columns] - mean_x) @ solution + mean_y
    torch.testing.assert_close(
        (fitted - y).square().mean(), (best - y).square().mean(), rtol=1e-3, atol=0
    )
    others = [i for i in range(12 * 49) if i not in columns]
    assert not fc.weight[:, others].any()
