"""Counts of what is wrong on an image, worked by hand."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.report.mistakes import Mistakes, image_name, mistakes, noted, worst_images

# Three objects of 10 x 10 pixels, far from each other.
TRUTH = InstanceData(
    bboxes=torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]),
    labels=torch.tensor([0, 0, 1]),
)


def found(*rows) -> InstanceData:
    """Of (x, label, score): boxes of 10 x 10 pixels, x from the left."""
    return InstanceData(
        bboxes=torch.tensor([[x, 0, x + 10.0, 10] for x, _, _ in rows]).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in rows], dtype=torch.long),
        scores=torch.tensor([score for *_, score in rows], dtype=torch.float),
    )


@pytest.mark.parametrize(
    ('rows', 'missed', 'wrong'),
    [
        ([(0, 0, 0.9), (20, 0, 0.8), (40, 1, 0.7)], 0, 0),
        ([], 3, 0),
        ([(0, 0, 0.9), (20, 0, 0.2), (40, 1, 0.7)], 1, 0),  # one scores too little
        ([(0, 1, 0.9), (20, 0, 0.8), (40, 1, 0.7)], 1, 1),  # one of the wrong class
        ([(0, 0, 0.9), (1, 0, 0.8), (20, 0, 0.8), (40, 1, 0.7)], 0, 1),  # one twice
        ([(3, 0, 0.9), (20, 0, 0.8), (40, 1, 0.7)], 0, 0),  # IoU 70 / 130
        ([(4, 0, 0.9), (20, 0, 0.8), (40, 1, 0.7)], 1, 1),  # IoU 60 / 140
        ([(60, 0, 0.9)], 3, 1),
    ],
)
def test_counts(rows, missed, wrong):
    assert mistakes(found(*rows), TRUTH, 0.3) == Mistakes(missed, wrong)


def test_no_object_and_objects_that_may_be_found():
    none = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    assert mistakes(found((0, 0, 0.9)), none, 0.3) == Mistakes(0, 1)
    crowd = InstanceData(bboxes=torch.tensor([[0.0, 0, 100, 100]]))
    assert mistakes(found((0, 0, 0.9)), none, 0.3, crowd) == Mistakes()


class Fixed(nn.Module):
    """Finds what it was told, by the image's number."""

    def __init__(self, by_image) -> None:
        super().__init__()
        self.by_image = by_image

    def forward(self, samples):
        for sample in samples:
            sample.pred_instances = self.by_image[sample.img_id]
        return samples

    def test_step(self, batch):
        return self(batch['data_samples'])


class Images(list):
    """Images of noise, each with the objects above."""

    def __init__(self, count) -> None:
        super().__init__(
            dict(inputs=torch.zeros(3, 20, 60), data_samples=s) for s in samples(count)
        )

    def get_data_info(self, index):
        return dict(img_id=index)


def samples(count) -> list[DetDataSample]:
    made = []
    for index in range(count):
        sample = DetDataSample(metainfo=dict(img_id=index, ori_shape=(20, 60)))
        sample.gt_instances = TRUTH
        made.append(sample)
    return made


RIGHT = found((0, 0, 0.9), (20, 0, 0.8), (40, 1, 0.7))
ONE, NONE = found((0, 0, 0.9)), found()


def test_mistakes_are_noted_while_a_detector_predicts():
    detector = Fixed([RIGHT, NONE])
    with noted(detector, 0.3) as counts:
        detector(samples(2))
    assert counts == {'0': Mistakes(), '1': Mistakes(3, 0)}
    detector(samples(1))
    assert len(counts) == 2 and not detector._forward_hooks
    without = samples(1)
    del without[0].gt_instances
    with noted(detector, 0.3) as counts:
        detector(without)
    assert counts == {}


@pytest.mark.parametrize('known', [True, False])
def test_the_worst_images_are_those_that_were_right_before(known):
    """Of the last one both find nothing, so that compression has cost nothing there."""
    before, after = [RIGHT, RIGHT, RIGHT, NONE], [RIGHT, ONE, NONE, NONE]
    dense, compressed = Fixed(before), Fixed(after)
    counts = []
    for detector in (dense, compressed):
        with noted(detector, 0.3) as count:
            detector(samples(4))
        counts.append(count)
    counts = (counts[0] if known else {}, counts[1])
    worst = worst_images(dense, compressed, Images(4), counts, 0.3, 4)
    assert [image.remark for image in worst] == [
        'misses 3 objects (0 before), 0 wrong boxes (0 before)',
        'misses 2 objects (0 before), 0 wrong boxes (0 before)',
    ]
    assert len(worst_images(dense, compressed, Images(4), counts, 0.3, 1)) == 1


def test_images_that_cannot_be_found_again_are_left_out():
    dense, compressed = Fixed([RIGHT]), Fixed([NONE])
    counts = ({}, {'0': Mistakes(3, 0)})
    assert worst_images(dense, compressed, list(Images(1)), counts, 0.3, 4) == []


def test_names():
    assert image_name(dict(img_path='a.jpg', img_id=3)) == 'a.jpg'
    assert image_name(dict(img_id=0)) == '0' and image_name({}) == ''
