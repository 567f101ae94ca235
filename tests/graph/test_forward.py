"""One way to run every detector: mmdet's own, with the regions that are given."""

import copy
import io

import detectors
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.graph.forward import SIDES, default_regions, tensor_forward
from mmdet_lcp.graph.regions import Regions, noted_rois


@pytest.mark.parametrize('family', ['fcos', 'ssdlite'])
def test_one_stage_detectors_run_as_they_are(family):
    detector, x = detectors.tiny_detector(family), detectors.noise()
    with torch.no_grad():
        found = detectors.tensors(tensor_forward(detector, x))
        expected = detectors.tensors(detector(x, mode='tensor'))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize('family', ['faster_rcnn', 'mask_rcnn', 'cascade_rcnn'])
def test_two_stage_detectors_run_on_given_proposals(family):
    """Against the parts of the detector, called one by one."""
    detector, x = detectors.tiny_detector(family), detectors.noise()
    boxes = [torch.tensor([[3, 4, 40, 50.0]]), torch.tensor([[0, 0, 20, 9], [5, 5, 60, 60.0]])]
    proposed, found = tensor_forward(detector, x, regions=Regions(boxes))
    features = detector.extract_feat(x)
    for one, two in zip(proposed, detector.rpn_head(features), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    shape = dict(img_shape=x.shape[-2:], ori_shape=x.shape[-2:], scale_factor=(1, 1))
    expected = detector.roi_head.forward(
        features,
        [InstanceData(bboxes=b) for b in boxes],
        [DetDataSample(metainfo=shape) for _ in boxes],
    )
    for a, b in zip(detectors.tensors(found), detectors.tensors(expected), strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
def test_every_level_has_a_region():
    detector = detectors.tiny_detector('cascade_rcnn')
    with noted_rois(detector) as noted:
        tensor_forward(detector, detectors.noise(images=2))
    extractor = detector.roi_head.bbox_roi_extractor[0]
    assert len(noted[0]) == 2 * len(SIDES)
    levels = extractor.map_roi_levels(noted[0], extractor.num_inputs)
    assert set(levels.tolist()) == set(range(extractor.num_inputs))


@torch.no_grad()
def test_a_cascade_sees_the_regions_of_another():
    """Refined by one detector, read by another one."""
    detector, x = detectors.tiny_detector('cascade_rcnn'), detectors.noise()
    other = detectors.randomise(copy.deepcopy(detector), seed=7)
    regions = default_regions(x)
    with noted_rois(detector) as rois:
        tensor_forward(detector, x)
    with noted_rois(other) as apart:
        tensor_forward(other, x)
    assert len(rois) == len(apart) == 3
    assert torch.equal(rois[0], apart[0])
    assert not torch.allclose(rois[1], apart[1])
    seen = []
    hook = other.roi_head.bbox_roi_extractor[2].register_forward_hook(
        lambda module, args, output: seen.append(args[1])
    )
    tensor_forward(other, x, regions=Regions(regions.proposals, rois))
    hook.remove()
    assert torch.equal(seen[0], rois[2])


class Flat(nn.Module):
    """What ONNX can have: tensors in, tensors out."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(detectors.tensors(tensor_forward(self.detector, images)))


@torch.no_grad()
@pytest.mark.parametrize('family', ['faster_rcnn', 'cascade_rcnn'])
def test_two_stage_detectors_in_onnx(family):
    """With regions below a cell of the map, and with boxes that are refined between stages."""
    runtime = pytest.importorskip('onnxruntime')
    network = Flat(detectors.tiny_detector(family)).eval()
    x, file = detectors.noise(images=1), io.BytesIO()
    torch.onnx.export(network, (x,), file, dynamo=False, opset_version=17)
    session = runtime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    found = [torch.from_numpy(output) for output in found]
    assert detectors.distance(found, network(x)) < 1e-5
