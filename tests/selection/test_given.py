"""Images of a Python caller: tensors, batches of mmdet's, data sets."""

import detectors
import pytest
import small_ssd
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.given import given_images, labelled

NUMBERS = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 4, 4).contiguous()
LABELS = torch.zeros(6).long()


class Listed(Dataset):
    """A data set of what it is given."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Unlabelled(small_ssd.Images):
    def __getitem__(self, index):
        return dict(inputs=super().__getitem__(index)['inputs'])


def given(images, detector=None, **config):
    return given_images(detector or nn.Conv2d(3, 2, 1), images, SelectionConfig(**config), 0)


def test_tensors_are_taken_from_the_beginning():
    images = torch.arange(7.0).view(7, 1, 1, 1).expand(7, 3, 4, 4)
    found = given(images, num_images=5, batch_size=2)
    assert [batch.inputs[:, 0, 0, 0].tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    found = given([images[:3], images[3:]], num_images=4)
    assert [len(batch.inputs) for batch in found] == [3, 1]
    assert not labelled(found)


def test_batches_of_a_data_loader_are_preprocessed():
    detector, images = small_ssd.build(), small_ssd.Images()
    batch = pseudo_collate([images[i] for i in range(3)])
    expected = detector.data_preprocessor(dict(batch), False)
    (found,) = given(iter([batch]), detector, num_images=2)
    assert torch.equal(found.inputs, expected['inputs'][:2]) and labelled([found])
    assert [len(boxes) for boxes in found.boxes] == [1, 1]


def test_a_data_set_is_drawn_from_by_the_seed():
    detector = small_ssd.build()
    expected = small_ssd.draw(detector, num_images=4).batches
    found = given(small_ssd.Images(), detector, num_images=4, batch_size=4)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(found, expected, strict=True))


def test_heads_on_regions_read_the_best_proposals():
    detector = detectors.tiny_detector('faster_rcnn')
    (found,) = given(detectors.noise(64), detector, regions=5)
    assert [len(boxes) for boxes in found.regions.proposals] == [5, 5]


@pytest.mark.parametrize('samples', [[], [DetDataSample()]])
def test_images_without_ground_truth_are_not_labelled(samples):
    found = given([dict(inputs=torch.zeros(1, 3, 4, 4), data_samples=samples)])
    assert not labelled(found)


@pytest.mark.parametrize(
    'images',
    [
        TensorDataset(NUMBERS, LABELS),
        Listed(NUMBERS),
        Listed([image.numpy() for image in NUMBERS]),
        Listed([dict(inputs=image) for image in NUMBERS]),
    ],
)
def test_data_sets_of_tensors(images):
    (found,) = given(images)
    assert sorted(found.inputs[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4, 5]
    four = [batch.inputs[:, 0, 0, 0].tolist() for batch in given(images, num_images=4)]
    assert four == [found.inputs[:4, 0, 0, 0].tolist()]  # the first of the same order


def test_single_images_of_mmdet_and_a_data_set_without_ground_truth():
    detector, images = small_ssd.build(), small_ssd.Images()
    items = [images[i] for i in range(3)]
    expected = detector.data_preprocessor(pseudo_collate(items), False)
    (found,) = given(items, detector)
    assert torch.equal(found.inputs, expected['inputs']) and labelled([found])
    (found,) = given(Unlabelled(), detector, num_images=3)
    assert found.inputs.shape == (3, 3, 64, 64) and not labelled([found])


@pytest.mark.parametrize(
    ('images', 'words'),
    [
        ([dict(inputs=NUMBERS[:, :2])], 'the DetDataPreprocessor of the SingleStageDetector does'),
        (Listed([dict(inputs=NUMBERS[0, :2], data_samples=DetDataSample())]), 'does not take'),
        (Listed([]), 'images: there is none'),
        (torch.zeros(1, 1, 64, 64), 'images: they have 1 channels, .* reads 3'),
    ],
)
def test_images_that_do_not_fit_a_detector(images, words):
    with pytest.raises(CompressionError, match=words):
        given(images, small_ssd.build())


def test_an_empty_data_set_of_a_run():
    with pytest.raises(CompressionError, match='the Listed that selection images are drawn from'):
        draw_images(Listed([]), small_ssd.build(), SelectionConfig(), 4, 0)


@pytest.mark.parametrize(
    ('images', 'network', 'words'),
    [
        (NUMBERS, nn.Conv2d(3, 2, 1).double(), r'float32, .*float64\. Give images\.to\(torch\.fl'),
        ([], None, 'images: there is none'),
        (torch.zeros(0, 3, 4, 4), None, 'images: there is none'),
        (Listed([]), None, 'images: there is none'),
        (Listed([None]), None, 'images: a NoneType is not a tensor'),
        (
            [dict(inputs=[torch.zeros(3, 4, 4), torch.zeros(3, 6, 4)])],
            None,
            'images of 2 shapes, and the Conv2d has no data_preprocessor',
        ),
        (NUMBERS.double(), None, 'images: they are torch.float64'),
        ([NUMBERS, torch.zeros(1, 1, 4, 4)], None, 'images: they have 1 channels'),
    ],
)
def test_images_that_do_not_fit(images, network, words):
    with pytest.raises(CompressionError, match=words):
        given(images, network)
