"""A detector whose layers a session runs, with sessions that a test can see through."""

import copy
import sys

import detectors
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn
from torch.utils._pytree import tree_structure

from mmdet_lcp.export import onnx_detector, open_session, session_latency_ms

SIZE = (64, 96)
REASON = 'the extra `export` is not installed'


class Session:
    """Computes in PyTorch what the exported file of a detector would."""

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector

    @torch.no_grad()
    def run(self, names, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names is None and list(inputs) == ['images']
        images = inputs['images']
        assert images.dtype == np.float32 and images.flags['C_CONTIGUOUS']
        found = self.detector(torch.from_numpy(images), mode='tensor')
        return [leaf.numpy() for leaf in detectors.tensors(found)]


@pytest.fixture(scope='module', params=['retinanet', 'ssdlite'])
def detector(request):
    return detectors.tiny_detector(request.param)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def predicted(detector: nn.Module) -> list[DetDataSample]:
    meta = dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0), img_id=0)
    samples = [DetDataSample(metainfo=dict(meta)) for _ in range(2)]
    return [sample.pred_instances for sample in detector.predict(images(), samples)]


def test_the_session_computes_and_mmdet_decodes(detector):
    """A session of other weights: what it gives is what counts, not the copy's layers."""
    other = detectors.randomise(copy.deepcopy(detector), seed=1)
    own, expected = predicted(detector), predicted(other)
    found = predicted(onnx_detector(detector, Session(other), SIZE))
    for one, two, first in zip(found, expected, own, strict=True):
        assert len(one) == len(two) > 0
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(one[key], two[key])
        assert len(one) != len(first) or not torch.equal(one.bboxes, first.bboxes)


@torch.no_grad()
def test_outputs_are_nested_as_the_detectors_own(detector):
    """Any number of images, of any memory layout."""
    twin = onnx_detector(detector, Session(detector), SIZE)
    for count in (1, 3):
        batch = images(count).to(memory_format=torch.channels_last)
        found, expected = (each(batch, mode='tensor') for each in (twin, detector))
        assert tree_structure(found) == tree_structure(expected)
        assert detectors.distance(found, expected) < 1e-5


@torch.no_grad()
def test_the_detector_is_as_it_was(detector):
    detector.train()
    modes = [module.training for module in detector.modules()]
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    twin = onnx_detector(detector, Session(copy.deepcopy(detector).eval()), SIZE)
    assert [module.training for module in detector.modules()] == modes
    assert not any(module.training for module in twin.modules())
    twin.backbone.requires_grad_(False)
    for parameter in twin.parameters():
        parameter.zero_()
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name])
    detector.eval()
    assert torch.is_tensor(detector.extract_feat(images())[0])
    assert 'forward' not in vars(detector.bbox_head)


# ------------------------------------------------------------------ latency


class Clock:
    """Time passes while a session runs, and at no other time."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.runs = 100.0, []
        module = sys.modules['mmdet_lcp.export.onnx_detector']
        monkeypatch.setattr(module.time, 'perf_counter', lambda: self.now)

    def session(self, name: str, *milliseconds: float):
        """A session whose runs take so long, one after the other."""
        left = list(milliseconds)

        class Timed:
            def run(_, names, inputs):
                assert names is None and inputs['images'].dtype == np.float32
                self.runs.append((name, inputs['images'].shape))
                self.now += left.pop(0) / 1e3

        return Timed()


def test_latency_is_the_median_without_the_first_of_five(monkeypatch):
    clock = Clock(monkeypatch)
    first = [900, 5, 7, 6, 80, 800, 9, 4, 70, 60]
    second = [0, 1, 2, 3, 4, 0, 5, 6, 7, 8]
    sessions = [clock.session('a', *first), clock.session('b', *second)]
    found = session_latency_ms(sessions, SIZE, rounds=2)
    # 4 5 6 7 | 9 60 70 80 and 1 2 3 4 | 5 6 7 8
    assert found == [pytest.approx(8), pytest.approx(4.5)]
    assert clock.runs == 2 * ([('a', (1, 3, *SIZE))] * 5 + [('b', (1, 3, *SIZE))] * 5)


# ------------------------------------------------------------------ ONNX Runtime's session


def test_sessions_take_pytorchs_threads(tmp_path, monkeypatch):
    onnx = pytest.importorskip('onnx', reason=REASON)
    pytest.importorskip('onnxruntime', reason=REASON)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    infos = [helper.make_tensor_value_info(name, kind, ['n']) for name in ('images', 'out')]
    double = helper.make_node('Add', ['images', 'images'], ['out'])
    graph = helper.make_graph([double], 'double', infos[:1], infos[1:])
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / 'x.onnx')
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    session = open_session(tmp_path / 'x.onnx')
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert session.get_providers() == ['CPUExecutionProvider']
    (found,) = session.run(None, {'images': np.array([1.5, -2], np.float32)})
    assert found.tolist() == [3, -4]
