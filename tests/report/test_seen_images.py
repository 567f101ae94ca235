"""Which images are looked at, and what is seen of them; worked out by hand."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.seen_images import item_of, original_image, over_the_set, see


class Labels(list):
    """A data set of which the labels are known without loading."""

    def get_data_info(self, index):
        return dict(instances=[dict(bbox_label=label) for label in self[index]])


class Shifts(nn.Module):
    """Finds one box, a number of pixels beside the ground truth's."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def test_step(self, batch):
        assert not self.training
        (sample,) = batch['data_samples']
        truth = sample.gt_instances
        sample.pred_instances = InstanceData(bboxes=truth.bboxes + self.shift, labels=truth.labels)
        return [sample]


def item(path='nowhere.jpg', **metainfo) -> tuple[torch.Tensor, DetDataSample]:
    sample = DetDataSample(metainfo=dict(img_path=str(path), ori_shape=(4, 6), **metainfo))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[1.0, 1, 3, 2]]), labels=torch.tensor([1])
    )
    blue = torch.zeros(3, 4, 6, dtype=torch.uint8)
    blue[0] = 200  # as packed: BGR
    return blue, sample


def test_one_image_of_each_part_the_middle_one_with_objects():
    without = Labels([[]] * 8)
    assert over_the_set(without, 2) == [2, 6]
    assert over_the_set(Labels([[0], [], [], [], [], [], [], [1]]), 2) == [0, 7]
    assert over_the_set(Labels([[], [0], [0], [], [], [1], [], []]), 2) == [2, 5]
    assert over_the_set(without, 8) == over_the_set(without, 20) == list(range(8))


def test_nothing_to_look_at():
    with pytest.raises(CompressionError, match='test data set is empty'):
        over_the_set([], 4)
    with pytest.raises(CompressionError, match='at least one image, not 0'):
        over_the_set(Labels([[0]]), 0)


def test_both_detectors_on_the_same_image():
    first, second = Shifts(0.0).train(), Shifts(0.5).eval()
    (one,) = see(first, second, [item()], [0])
    assert one.truth.bboxes.tolist() == one.dense.bboxes.tolist() == [[1, 1, 3, 2]]
    assert one.compressed.bboxes.tolist() == [[1.5, 1.5, 3.5, 2.5]]
    assert one.image.shape == (4, 6, 3) and (one.image == (0, 0, 200)).all()  # RGB
    assert one.remark == '' and first.training and not second.training


def test_items_are_pairs_or_dicts():
    inputs, sample = item()
    assert item_of([(inputs, sample)], 0) == (inputs, sample)
    assert item_of([dict(inputs=inputs, data_samples=sample)], 0) == (inputs, sample)


def test_from_the_file_where_there_is_one(tmp_path):
    file = np.zeros((4, 6, 3), np.uint8)
    file[..., 2] = 90  # red, BGR
    cv2.imwrite(str(tmp_path / 'image.png'), file)
    seen = original_image(*item(tmp_path / 'image.png'))
    assert (seen == (90, 0, 0)).all()
    cv2.imwrite(str(tmp_path / 'image.png'), file[:2])  # of another size: not the same image
    assert (original_image(*item(tmp_path / 'image.png')) == (0, 0, 200)).all()


def test_without_what_the_pipeline_padded():
    inputs, sample = item(scale_factor=(2.0, 2.0))
    sample.set_metainfo(dict(ori_shape=(2, 3)))  # 4x6 pixels of it, then padding
    padded = nn.functional.pad(inputs, (0, 2, 0, 4), value=255)
    seen = original_image(padded, sample)
    assert seen.shape == (2, 3, 3) and (seen == (0, 0, 200)).all()


def test_grey_and_more_than_eight_bits():
    _, sample = item()
    grey = torch.full((1, 4, 6), 70, dtype=torch.uint8)
    assert (original_image(grey, sample) == 70).all()
    deep = torch.zeros(3, 4, 6)
    deep[0], deep[1] = 1020.0, 510.0
    assert (original_image(deep, sample) == (0, 127, 255)).all()
