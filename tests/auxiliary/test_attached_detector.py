"""A detector with an auxiliary network: one loss, and no trace of it in the detector."""

import copy

import pytest
import torch
from made_detectors import packed
from mmdet.models import DetDataPreprocessor
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper

import mmdet_lcp  # noqa: F401
from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, LayerAuxiliary
from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary

PATH = 'backbone.layer3.1.conv1'


@pytest.fixture
def data(batch):
    return packed(batch)


@pytest.fixture
def detector(ssd):
    ssd.bbox_head.test_cfg = ConfigDict(
        nms_pre=100,
        nms=dict(type='nms', iou_threshold=0.45),
        min_bbox_size=0,
        score_thr=0.02,
        max_per_img=20,
    )
    ssd.data_preprocessor = DetDataPreprocessor(mean=[100.0] * 3, std=[50.0] * 3)
    return ssd


def attach(detector) -> AttachedDetector:
    attachment = LocalizationAuxiliary()
    network = attachment.build(detector, detector.get_submodule(PATH).out_channels)
    layer = LayerAuxiliary(network, attachment.sampler(detector), PATH)
    return AttachedDetector(detector, {'localization': layer})


def total(losses) -> torch.Tensor:
    values = [
        v for value in losses.values() for v in (value if isinstance(value, list) else [value])
    ]
    return sum(values)


def test_the_losses_are_the_detectors_own_and_the_auxiliary_ones(detector, data):
    model = attach(detector).train()
    alone = copy.deepcopy(detector)
    losses = model(*data, mode='loss')
    own = alone(*data, mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_aux_cls', 'loss_aux_box'}
    for name, values in own.items():
        for value, expected in zip(losses[name], values, strict=True):
            torch.testing.assert_close(value, expected)

    # The auxiliary losses by hand: the layer's output goes into the network.
    layer = model.attachments['localization']
    seen = {}
    again = copy.deepcopy(alone)
    again.load_state_dict(copy.deepcopy(alone.state_dict()))
    again.get_submodule(PATH).register_forward_hook(
        lambda module, args, output: seen.update(features=output.detach().clone())
    )
    again(*data, mode='loss')
    samples = LocalizationAuxiliary().sampler(again).sample_images(again, *data)
    assert int(samples.positive.sum()) > 0
    network = copy.deepcopy(layer.network)
    expected = network(seen['features'], samples)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
        assert value > 0


def test_gradients_reach_both(detector, data):
    model = attach(detector).train()
    losses = model(*data, mode='loss')
    (losses['loss_aux_cls'] + losses['loss_aux_box']).backward()
    network = model.attachments['localization'].network
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    conv = detector.get_submodule(PATH)
    assert conv.weight.grad.abs().sum() > 0
    assert detector.backbone.conv1.weight.grad.abs().sum() > 0
    # What runs behind the layer, the head with its scores included, gets nothing from L_a.
    assert all(p.grad is None for p in detector.bbox_head.parameters())
    assert all(p.grad is None for p in detector.backbone.layer4.parameters())
    model.zero_grad()
    total(model(*data, mode='loss')).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_train_step_trains_both(detector, data):
    model = attach(detector)
    before = {name: value.clone() for name, value in model.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    images, samples = data
    raw = dict(inputs=list((images * 20 + 100).clamp(0, 255)), data_samples=samples)
    log = model.train().train_step(raw, wrapper)
    parts = [log[name] for name in ('loss_cls', 'loss_bbox', 'loss_aux_cls', 'loss_aux_box')]
    torch.testing.assert_close(log['loss'], sum(parts))
    # L_a alone does not reach what runs behind it, L_c and L_r reach everything.
    changed = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert any(name.startswith('attachments.') for name in changed)
    assert any(name.startswith('detector.bbox_head') for name in changed)


def test_predictions_are_the_detectors_own(detector, data):
    alone = copy.deepcopy(detector).eval()
    model = attach(detector).eval()
    images, samples = data
    with torch.no_grad():
        for found, expected in zip(
            model(images, mode='tensor'), alone(images, mode='tensor'), strict=True
        ):
            torch.testing.assert_close(found, expected)
        found = model(images, copy.deepcopy(samples), mode='predict')
        expected = alone(images, copy.deepcopy(samples), mode='predict')
        raw = dict(inputs=[torch.full((3, 64, 64), 90.0)] * 3, data_samples=samples)
        stepped = model.val_step(copy.deepcopy(raw)), model.test_step(copy.deepcopy(raw))
        by_itself = alone.val_step(copy.deepcopy(raw))
    assert sum(len(sample.pred_instances) for sample in expected) > 0

    def same(ones, others):
        for one, other in zip(ones, others, strict=True):
            for key in ('bboxes', 'scores', 'labels'):
                torch.testing.assert_close(one.pred_instances[key], other.pred_instances[key])

    same(found, expected)
    same(stepped[0], by_itself)
    same(stepped[1], by_itself)


def test_state_dict(detector):
    own = detector.state_dict()
    model = attach(detector)
    state = model.state_dict()
    inside = {
        k.removeprefix('detector.'): v for k, v in state.items() if k.startswith('detector.')
    }
    assert list(inside) == list(own)
    assert all(torch.equal(inside[key], own[key]) for key in own)
    rest = [key for key in state if not key.startswith('detector.')]
    assert rest
    assert all(key.startswith('attachments.localization.network.') for key in rest)
    # Nothing is there twice for the optimizer.
    parameters = list(model.parameters())
    assert len({id(p) for p in parameters}) == len(parameters)


def test_nothing_is_left_in_the_detector(detector, data):
    keys = list(detector.state_dict())
    names = [name for name, _ in detector.named_modules()]
    model = attach(detector).train()
    total(model(*data, mode='loss')).backward()
    with pytest.raises(IndexError):  # nor after a forward pass that fails
        model(data[0], data[1][:1] * 0, mode='loss')
    del model
    assert list(detector.state_dict()) == keys
    assert [name for name, _ in detector.named_modules()] == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in detector.modules())
    assert type(detector).__name__ == 'SingleStageDetector'
    assert type(detector).forward is detector.forward.__func__


def test_regions_are_read_in_full_precision(detector, data):
    model = attach(detector).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(*data, mode='loss')
    for name in ('loss_aux_cls', 'loss_aux_box'):
        assert losses[name].dtype == torch.float32
        assert torch.isfinite(losses[name])
