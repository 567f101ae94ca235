"""The whole that is exported: against mmdet's own preprocessor, forward and prediction."""

import copy

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from small_ssd import MODEL, SIZE
from torch import nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp import CompressionError
from mmdet_lcp.export.graph import ExportGraph, Pixels, raw_names, samples

TEST = dict(
    nms_pre=100, score_thr=0.02, min_bbox_size=0, max_per_img=20,
    nms=dict(type='nms', iou_threshold=0.45),
)  # fmt: skip


def detector(**test_cfg) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(MODEL, test_cfg={**TEST, **test_cfg})).eval()


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    'options',
    [
        dict(mean=[1.0, 20.0, 30.0], std=[2.0, 5.0, 50.0], bgr_to_rgb=True),
        dict(mean=[1.0, 20.0, 30.0], std=[2.0, 5.0, 50.0]),
        dict(bgr_to_rgb=True),
        dict(),
    ],
)
def test_pixels_as_mmdets_preprocessor_makes_them(options):
    preprocessor = DetDataPreprocessor(**options)
    batch = dict(inputs=[images()[0].permute(2, 0, 1)], data_samples=samples(1, (SIZE, SIZE)))
    expected = preprocessor(batch)['inputs'].float()
    torch.testing.assert_close(Pixels(preprocessor)(images()), expected)


def test_raw_is_the_forward_pass():
    net = detector()
    graph = ExportGraph(copy.deepcopy(net), (SIZE, SIZE), 'raw')
    with torch.no_grad():
        prepared = net.data_preprocessor(dict(inputs=images().permute(0, 3, 1, 2)))['inputs']
        expected = [leaf for leaf in tree_leaves(net(prepared)) if isinstance(leaf, torch.Tensor)]
        found = graph(images())
        inside = graph.head_outputs(graph.prepared(images()))
    assert len(found) == len(expected) == 6  # scores and boxes of three levels
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    levels = range(3)
    assert graph.output_names(inside, found) == [
        *(f'cls_score_{level}' for level in levels),
        *(f'bbox_pred_{level}' for level in levels),
    ]


def test_end_to_end_is_the_prediction():
    net = detector()
    graph = ExportGraph(copy.deepcopy(net), (SIZE, SIZE))
    with torch.no_grad():
        dets, labels = graph(images())
        batch = net.data_preprocessor(
            dict(inputs=images().permute(0, 3, 1, 2), data_samples=samples(1, (SIZE, SIZE)))
        )
        (predicted,) = net.predict(batch['inputs'], batch['data_samples'], rescale=False)
    expected = predicted.pred_instances
    count = len(expected)
    assert count > 0 and dets.shape == (1, 20, 5)
    torch.testing.assert_close(dets[0, :count, 4], expected.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dets[0, :count, :4], expected.bboxes, atol=1e-3, rtol=1e-4)
    assert labels[0, :count].tolist() == expected.labels.tolist()
    assert graph.output_names((), (dets, labels)) == ['dets', 'labels']


def test_names_of_a_head_that_nobody_knows():
    outputs = ([torch.zeros(1), torch.zeros(1)], torch.zeros(1))
    assert raw_names(nn.Identity(), outputs) == ['output0_0', 'output0_1', 'output1']


def test_what_cannot_be_exported():
    with pytest.raises(CompressionError, match="form 'whole': take one of end-to-end"):
        ExportGraph(detector(), (SIZE, SIZE), 'whole')
    soft = dict(type='soft_nms', iou_threshold=0.5)
    with pytest.raises(CompressionError, match=r'bbox_head \(SSDHead\).*soft_nms.*--decoded'):
        ExportGraph(detector(nms=soft), (SIZE, SIZE))
    ExportGraph(detector(nms=soft), (SIZE, SIZE), 'decoded')
