"""Exported networks against the detector itself: outputs, detections, and what is refused."""

import copy

import detectors
import numpy as np
import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp import CompressionError
from mmdet_lcp.export import (
    calibration_images,
    export_onnx,
    onnx_detector,
    open_session,
    quantize_int8,
    session_latency_ms,
)
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.transforms import BinaryInput, attach_input

REASON = 'the extra `export` is not installed'
onnx = pytest.importorskip('onnx', reason=REASON)
pytest.importorskip('onnxruntime', reason=REASON)

SIZE = (96, 96)


@pytest.fixture(scope='module')
def cfg(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp('tiny')
    return Config.fromfile(tiny.make_config(folder, tiny.make_data(folder / 'data')))


@pytest.fixture(scope='module')
def detector(cfg) -> nn.Module:
    return detectors.randomise(MODELS.build(copy.deepcopy(cfg.model)))


@pytest.fixture(scope='module')
def exported(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'x.onnx'
    export_onnx(detector, SIZE, path)
    return path


def outputs(detector: nn.Module, images: torch.Tensor) -> list[np.ndarray]:
    with torch.no_grad():
        return [leaf.numpy() for leaf in tree_leaves(detector(images, mode='tensor'))]


def images(count: int, size=SIZE, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def test_the_same_outputs(detector, exported):
    """At other sizes of batch and image than it was traced with, too."""
    session = open_session(exported)
    for count, size in ((1, SIZE), (3, SIZE), (2, (128, 64))):
        batch = images(count, size)
        found = session.run(None, {INPUT: batch.numpy()})
        expected = outputs(detector, batch)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < 1e-5 * max(1, np.abs(other).max())


@pytest.mark.parametrize('family', ['retinanet', 'fcos', 'atss'])
def test_other_detectors(family, tmp_path):
    detector = detectors.tiny_detector(family)
    training = [module.training for module in detector.modules()]
    export_onnx(detector, (64, 64), tmp_path / 'x.onnx')
    assert [module.training for module in detector.modules()] == training
    found = open_session(tmp_path / 'x.onnx').run(None, {INPUT: images(1, (64, 64)).numpy()})
    for one, other in zip(found, outputs(detector, images(1, (64, 64))), strict=True):
        assert np.abs(one - other).max() < 1e-4 * max(1, np.abs(other).max())


def test_binary_inputs_are_plain_operators(detector, tmp_path):
    """A sign near zero may fall the other way: the outputs agree on average."""
    twin = copy.deepcopy(detector)
    layer = twin.get_submodule('backbone.stage1.1.conv')
    attach_input(layer, BinaryInput.for_layer(layer, scaling=True).eval())
    export_onnx(twin, SIZE, tmp_path / 'x.onnx')
    graph = onnx.load(str(tmp_path / 'x.onnx')).graph
    assert all(node.domain in ('', 'ai.onnx') for node in graph.node)
    found = open_session(tmp_path / 'x.onnx').run(None, {INPUT: images(1).numpy()})
    differences = [
        np.abs(one - other).mean() / np.abs(other).mean()
        for one, other in zip(found, outputs(twin, images(1)), strict=True)
    ]
    assert max(differences) < 1e-3


def test_int8(detector, exported, tmp_path):
    """The error is that of 8 bits and no more; the weights take a quarter."""
    target = tmp_path / 'int8.onnx'
    quantize_int8(exported, target, [images(1, seed=n).numpy() for n in range(4)])
    assert target.stat().st_size < 0.45 * exported.stat().st_size
    found = open_session(target).run(None, {INPUT: images(1, seed=9).numpy()})
    for one, other in zip(found, outputs(detector, images(1, seed=9)), strict=True):
        error = np.abs(one - other).mean() / other.std()
        assert 1e-4 < error < 0.2
    operators = {node.op_type for node in onnx.load(str(target)).graph.node}
    assert {'QuantizeLinear', 'DequantizeLinear'} <= operators


def test_what_is_kept_stays_in_full_precision(exported, tmp_path):
    target = tmp_path / 'kept.onnx'
    quantize_int8(exported, target, [images(1).numpy()], keep='(cls|reg)_convs')
    graph = onnx.load(str(target)).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    convs = [node for node in graph.node if node.op_type == 'Conv']
    heads = [node for node in convs if '_convs' in node.name]
    others = [node for node in convs if 'backbone' in node.name]
    assert len(heads) == 6 and others
    assert all(node.input[1] not in makers for node in heads)  # its weight is an initializer
    assert all(makers[node.input[1]] == 'DequantizeLinear' for node in others)


def test_mmdet_predicts_with_it(detector, exported):
    """Decoding and NMS are mmdet's own: the same boxes."""
    twin = onnx_detector(detector, open_session(exported), SIZE)
    meta = dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0), img_id=0)
    results = []
    for each in (detector, twin):
        with torch.no_grad():
            sample = each.predict(images(1), [DetDataSample(metainfo=dict(meta))])[0]
        results.append(sample.pred_instances)
    assert len(results[0]) == len(results[1]) > 0
    assert torch.allclose(results[0].bboxes, results[1].bboxes, atol=1e-3)
    assert torch.equal(results[0].labels, results[1].labels)
    assert not hasattr(detector.bbox_head, '__wrapped__')
    assert torch.is_tensor(detector.extract_feat(images(1))[0])  # the original is as it was


def test_calibration_images_are_training_images(cfg, detector):
    found = calibration_images(cfg, detector, 100)
    assert len(found) == 6  # all that there are
    assert all(image.shape == (1, 3, tiny.SIZE, tiny.SIZE) for image in found)
    assert all(image.dtype == np.float32 for image in found)
    few = calibration_images(cfg, detector, 2, seed=1)
    assert len(few) == 2
    assert all(any(np.array_equal(a, b) for b in found) for a in few)
    again = calibration_images(cfg, detector, 2, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(few, again, strict=True))


def test_latencies(exported):
    sessions = [open_session(exported)] * 2
    assert all(0 < value < 1e4 for value in session_latency_ms(sessions, SIZE, rounds=1))


def test_what_is_refused(cfg, detector, exported, tmp_path):
    with pytest.raises(CompressionError, match='FasterRCNN has two stages'):
        export_onnx(detectors.tiny_detector('faster_rcnn'), SIZE, tmp_path / 'x.onnx')
    target = tmp_path / 'y.onnx'
    with pytest.raises(CompressionError, match='at least one image'):
        quantize_int8(exported, target, [])
    with pytest.raises(CompressionError, match="method='max'"):
        quantize_int8(exported, target, [images(1).numpy()], method='max')
    with pytest.raises(CompressionError, match="keep='nothing' matches none"):
        quantize_int8(exported, target, [images(1).numpy()], keep='nothing')
    with pytest.raises(CompressionError, match='0 images'):
        calibration_images(cfg, detector, 0)
    assert list(tmp_path.iterdir()) == []
