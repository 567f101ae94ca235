"""A file in mmdet's test loop: what it detects reaches the evaluator, in pixels of the photo."""

import copy

import cv2
import numpy as np
import pytest
import tiny
import torch
from made_onnx_files import colour_file
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export.evaluation import FileDetector, TestSet, latencies_ms, validation_metric

pytest.importorskip('onnxruntime')


def painted(folder, size: int):
    """A red square in the first eighth of the picture, one cell of the file's input."""
    image = np.zeros((size, size, 3), np.uint8)
    image[: size // 8, : size // 8, 2] = 255
    path = folder / f'{size}.png'
    cv2.imwrite(str(path), image)
    return DetDataSample(metainfo=dict(img_path=str(path), img_id=0))


def test_a_file_detects_in_photos(tmp_path):
    detector = FileDetector(colour_file(tmp_path / 'x.onnx'), threads=1)
    found = detector.test_step({'data_samples': [painted(tmp_path, 64), painted(tmp_path, 128)]})
    for sample, size in zip(found, (64, 128), strict=True):
        seen = sample.pred_instances
        best = int(seen.scores.argmax())
        assert int(seen.labels[best]) == 0 and seen.bboxes.dtype == torch.float32
        assert seen.bboxes[best].tolist() == pytest.approx([0, 0, size / 8, size / 8], abs=0.01)


def test_photos_without_names(tmp_path):
    detector = FileDetector(colour_file(tmp_path / 'x.onnx'), threads=1)
    with pytest.raises(CompressionError, match='img_path to the meta_keys'):
        detector.test_step({'data_samples': [DetDataSample()]})


@pytest.fixture(scope='module')
def cfg(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp('tiny')
    return Config.fromfile(tiny.make_config(folder, tiny.make_data(folder / 'data')))


class Truth(nn.Module):
    """Detects what is annotated; half of it, if told so."""

    def __init__(self, part: int = 1) -> None:
        super().__init__()
        self.part = part

    def test_step(self, data):
        for sample in data['data_samples']:
            truth = sample.gt_instances[:: self.part]
            boxes = getattr(truth.bboxes, 'tensor', truth.bboxes)
            sample.pred_instances = InstanceData(
                bboxes=boxes, labels=truth.labels, scores=torch.ones(len(boxes))
            )
        return data['data_samples']


@pytest.mark.parametrize('split', ['test', 'val'])
def test_metrics_of_several(cfg, split):
    """One data set after the other, and several detectors on one."""
    data = TestSet(cfg, split)
    assert data.metrics(Truth())['coco/bbox_mAP'] == 1
    assert data.metrics(Truth(2))['coco/bbox_mAP'] < 1
    assert data.metrics(Truth())['coco/bbox_mAP'] == 1


def test_without_data(cfg):
    none = Config({**cfg.to_dict(), 'test_dataloader': None, 'val_dataloader': None})
    with pytest.raises(CompressionError, match='no test_dataloader'):
        TestSet(none)
    assert validation_metric(none) is None


@pytest.mark.parametrize('split', ['test', 'val'])
def test_data_that_are_not_there(cfg, split):
    other = copy.deepcopy(cfg)
    other[f'{split}_dataloader'].dataset.data_root = 'nowhere/'
    with pytest.raises(CompressionError, match=rf'`{split}_dataloader` names.*nowhere.*folder'):
        TestSet(other, split)


def test_latencies_run_in_turn(tmp_path):
    order = []

    class Detector(nn.Module):
        def test_step(self, data):
            order.append(tuple(data['inputs'][0].shape))
            assert not self.training and not torch.is_grad_enabled()

    image = np.zeros((64, 64, 3), np.uint8)
    found = latencies_ms(Detector(), [colour_file(tmp_path / 'x.onnx')], image, rounds=3)
    assert len(found) == 2 and all(each >= 0 for each in found) and found[1] > 0
    assert order == [(3, 64, 64)] * 4
