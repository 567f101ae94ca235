"""Fine-tuning on the dense detector's outputs: against a loop by hand, on one and two ranks."""

import copy
from pathlib import Path

import pytest
import small_ssd
import torch
from detectors import noise, tiny_detector
from mmengine.structures import InstanceData
from ranks import be_the_other_rank, on_two_ranks
from runs import TWO_GROUPS
from torch import nn

from mmdet_lcp import CompressionError, prune
from mmdet_lcp.engine.state import RunState
from mmdet_lcp.graph.forward import default_regions
from mmdet_lcp.losses import output_distillation_loss
from mmdet_lcp.pruning.distill import DistillConfig, Teacher, distill
from mmdet_lcp.pruning.prepare import images_to_distill_on
from mmdet_lcp.selection.head_outputs import output_parts
from mmdet_lcp.selection.images import SelectionImages


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(6, 4, 3)
    ).double()


def batches(count=3):
    generator = torch.Generator().manual_seed(1)
    return [
        SelectionImages(torch.randn(2, 3, 8, 8, generator=generator).double(), None)
        for _ in range(count)
    ]


def worse(dense, scale=0.3):
    """A copy with other kernels, which has to be brought nearer."""
    detector = copy.deepcopy(dense)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in detector.parameters():
            weight += scale * torch.randn_like(weight)
    return detector.requires_grad_(True)


def weights(detector):
    return torch.cat([weight.detach().flatten() for weight in detector.parameters()])


def test_by_hand():
    """Adam on the relative squared error, its rate on a cosine, norms and dropout held still."""
    dense, images = network().eval(), batches(1)
    detector = worse(dense)
    own = copy.deepcopy(detector).eval()
    target = dense(images[0].inputs).detach()
    optimizer = torch.optim.Adam(own.parameters(), lr=0.01)
    for step in range(4):
        rate = 1e-4 + (0.01 - 1e-4) * (1 + torch.cos(torch.tensor(torch.pi * step / 4))) / 2
        optimizer.param_groups[0]['lr'] = float(rate)
        optimizer.zero_grad()
        ((own(images[0].inputs) - target).square().mean() / target.var(correction=0)).backward()
        optimizer.step()
    log = distill(detector.train(), dense, images, DistillConfig(4, 0.01), seed=0)
    torch.testing.assert_close(weights(detector), weights(own), rtol=1e-6, atol=1e-8)
    assert detector.training and detector[2].training
    assert log['loss_after'] < log['loss_before']
    torch.testing.assert_close(detector[1].running_mean, dense[1].running_mean)


def test_a_detector_comes_nearer():
    dense = small_ssd.build()
    detector = worse(dense, 0.05)
    images = small_ssd.draw(dense, num_images=8).batches
    frozen = detector.backbone.requires_grad_(False).state_dict()
    frozen = {key: value.clone() for key, value in frozen.items()}
    log = distill(detector, dense, images, DistillConfig(30), seed=0)
    assert log['loss_after'] < 0.7 * log['loss_before']
    for key, value in detector.backbone.state_dict().items():
        torch.testing.assert_close(value, frozen[key], rtol=0, atol=0)


@pytest.mark.parametrize('family', ['fcos', 'yolox', 'mask_rcnn', 'sparse_rcnn'])
def test_other_heads(family):
    dense = tiny_detector(family)
    images = [SelectionImages(noise(), None, regions=default_regions(noise()))]
    log = distill(worse(dense, 0.01), dense, images, DistillConfig(15), seed=0)
    assert log['loss_after'] < log['loss_before']


def test_annotations_are_not_read():
    dense = small_ssd.build()
    images = small_ssd.draw(dense, num_images=4).batches
    found = []
    for labelled in (True, False):
        for batch in images if not labelled else []:
            for sample in batch.data_samples:
                sample.gt_instances = InstanceData()
        detector = worse(dense, 0.05)
        distill(detector, dense, images, DistillConfig(2), seed=0)
        found.append(weights(detector))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_seed_gives_the_same_weights_again():
    dense, images, found = network().eval(), batches(), []
    for seed in (0, 0, 1):
        detector = worse(dense)
        distill(detector, dense, images, DistillConfig(5), seed)
        found.append(weights(detector))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert not torch.equal(found[0], found[2])  # another order


class Killed(Exception):
    """In the place of a signal."""


def test_goes_on_where_it_was_killed(monkeypatch):
    """Weights, momentum, rate and order of the batches: to the last bit."""
    monkeypatch.setattr('mmdet_lcp.pruning.distill._INTERVAL', 4)
    dense, images, config = network().eval(), batches(), DistillConfig(10, lr=0.01)
    whole = worse(dense)
    log = distill(whole, dense, images, config, seed=3)
    kept, lines = [], []

    def save(data):
        kept.append(copy.deepcopy(data))
        if len(kept) == 2:
            raise Killed

    with pytest.raises(Killed):
        distill(worse(dense), dense, images, config, seed=3, save=save)
    assert [data['done'] for data in kept] == [4, 8]
    detector = worse(dense)
    again = distill(detector, dense, images, config, seed=3, saved=kept[-1], tell=lines.append)
    assert lines[0] == 'Distilling goes on after 8 of 10 iterations'
    torch.testing.assert_close(weights(detector), weights(whole), rtol=0, atol=0)
    assert again == log


def test_a_killed_run_goes_on(write_config, build, prune, plain_output, monkeypatch):
    monkeypatch.setattr('mmdet_lcp.pruning.distill._INTERVAL', 3)
    options = {
        'pruning.distill': dict(max_iters=8, num_images=2),
        'pruning.evaluate': (),
        'pruning.retrain.max_epochs': 0,
    }
    whole = prune(write_config('distilled_whole', TWO_GROUPS), **options)
    config = write_config('distilled_killed', TWO_GROUPS)
    save = RunState.save_distillation

    def killed(self, data):
        save(self, data)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunState, 'save_distillation', killed)
        with pytest.raises(Killed):
            build(config, **options).train()
    runner = build(config, resume=True, **options)
    runner.train()
    log = next(Path(runner.work_dir).rglob('*.log')).parents[1]
    assert any('goes on after 3 of 8' in path.read_text() for path in log.rglob('*.log'))
    state = torch.load(Path(runner.work_dir) / 'pruned.pth', weights_only=True)['state_dict']
    for key, value in whole.weights.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0)
    assert not (Path(runner.work_dir) / 'pruning_state' / 'distill.pth').exists()


def test_what_is_not_nearer_is_put_back():
    dense, images = network().eval(), batches()
    detector = worse(dense, 1e-3)
    before = weights(detector)
    lines = []
    log = distill(detector, dense, images, DistillConfig(1, lr=10.0), seed=0, tell=lines.append)
    assert lines[-1].endswith('; the weights are those from before')
    assert log['loss_after'] > log['loss_before']
    torch.testing.assert_close(weights(detector), before, rtol=0, atol=0)


@pytest.mark.parametrize(('room', 'runs'), [(1 << 20, 3), (0, 6), (2 * 4 * 16 * 8, 5)])
def test_outputs_are_kept_where_they_fit(room, runs):
    """A batch's outputs are 2 x 4 x 4 x 4 numbers of 8 bytes: the last one has room for one."""
    dense, images, seen = network().eval(), batches(), []
    dense.register_forward_hook(lambda *_: seen.append(1))
    teacher = Teacher(dense, images, room)
    first = [teacher(number) for number in range(3)]
    again = [teacher(number) for number in range(3)]
    assert len(seen) == runs
    assert all(
        float(output_distillation_loss(a, b)) == 0 for a, b in zip(first, again, strict=True)
    )


def test_progress_is_told():
    lines = []
    dense = network().eval()
    distill(worse(dense), dense, batches(), DistillConfig(101), 0, tell=lines.append)
    assert lines[0].startswith('Distilling from the dense detector: loss ')
    assert lines[1].startswith('Distilling: 50/101, loss ') and lines[1].endswith(' left')
    assert lines[3].startswith('Distilled from the dense detector: loss_before ')
    assert len(lines) == 4


def test_errors():
    dense = network().eval()
    with pytest.raises(CompressionError, match='no weight of the pruned detector requires'):
        distill(network().requires_grad_(False), dense, batches(), DistillConfig(1), 0)
    detector = worse(dense).requires_grad_(False)
    detector.unused = nn.Linear(1, 1)
    detector.forward = lambda inputs: dense(inputs) + 1
    with pytest.raises(CompressionError, match='no output of the pruned detector follows'):
        distill(detector, dense.requires_grad_(False), batches(), DistillConfig(1), 0)
    with pytest.raises(CompressionError, match=r'distill\.lr=1e\+200; take a lower rate'):
        distill(worse(dense), dense, batches(), DistillConfig(3, 1e200), 0)


@pytest.mark.parametrize(
    ('distill', 'message'),
    [
        (dict(iters=3), r"^distill has an unknown key 'iters'; the nearest valid one is"),
        (dict(max_iters=0), r'^distill\.max_iters=0 must be'),
        (dict(lr=0), r'^distill\.lr=0 must be'),
    ],
)
def test_bad_input_of_the_call(distill, message):
    with pytest.raises(CompressionError, match=message):
        prune(network().float(), torch.randn(2, 3, 8, 8), ratio=0.5, distill=distill)


def test_the_call():
    net, images = network().float().eval(), torch.randn(16, 3, 8, 8)
    errors = []
    for asked in (None, dict(max_iters=100, lr=0.003)):
        result = prune(net, images, ratio=0.5, distill=asked)
        with torch.no_grad():
            errors.append(float((result.detector(images) - net(images)).square().mean()))
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize(('given', 'read'), [(list, 10), (iter, 4)])
def test_images_of_the_call(given, read, monkeypatch):
    """More than for the selection where there are more; an iterator can be read once only."""
    seen = []

    def noted(detector, dense, batches, *_):
        seen.append(sum(len(batch.inputs) for batch in batches))
        return {}

    monkeypatch.setattr('mmdet_lcp.pruning.api.distilled', noted)
    images = given(list(torch.randn(10, 3, 8, 8)))
    net = network().float().eval()
    prune(net, images, ratio=0.5, selection=dict(num_images=4), distill=dict(num_images=12))
    assert seen == [read]


def facts(rank):
    """Weights behind a step on a batch of each rank's own."""
    dense = network().eval()
    detector = worse(dense)
    distill(detector, dense, batches(2)[rank : rank + 1], DistillConfig(1), seed=0)
    return weights(detector)


def test_two_ranks_take_the_mean_gradient(tmp_path):
    dense = network().eval()
    detector = worse(dense).eval()
    for batch in batches(2):
        losses = [output_parts(each, batch.run(each)) for each in (dense, detector)]
        (output_distillation_loss(*losses) / 2).backward()
    torch.optim.Adam(detector.parameters(), lr=1e-3).step()
    for own in on_two_ranks(facts, __file__, tmp_path):
        torch.testing.assert_close(own, weights(detector), rtol=1e-9, atol=1e-12)


def test_a_run(write_config, prune, plain_output):
    extra = TWO_GROUPS + "pruning.update(distill=dict(max_iters=8), evaluate=('selected',))\n"
    run = prune(write_config('distilled', extra))
    settings = run.report['settings']
    assert settings['distilled'] == '8 iterations at 0.001, without annotations'
    steps = [step['step'] for step in run.report['steps']]
    assert steps == ['dense', 'selected', 'selected', 'distilled', 'final']
    log = next(run.work_dir.rglob('*.log')).read_text()
    assert 'Distilled from the dense detector: loss_before' in log


@pytest.mark.parametrize('asked', [2, 5, 1000])
def test_images_of_a_run(write_config, build, asked):
    """The selection's two, or more, or all of the data set's."""
    runner = build(write_config('distilling', TWO_GROUPS), **{'pruning.selection.num_images': 2})
    runner.pruning.distill = DistillConfig(num_images=asked)
    batches = images_to_distill_on(runner, runner.job, runner.pruning)
    assert sum(len(batch.inputs) for batch in batches) == min(
        asked, len(runner.train_dataloader.dataset)
    )
    first = runner.job.images.batches[0].inputs
    torch.testing.assert_close(batches[0].inputs[: len(first)], first)


def test_bad_input_of_a_run(write_config, build):
    config = write_config('undistilled', TWO_GROUPS)
    with pytest.raises(CompressionError, match=r'pruning\.distill has an unknown key'):
        build(config, **{'pruning.distill': dict(steps=3)})


if __name__ == '__main__':
    be_the_other_rank(facts)
