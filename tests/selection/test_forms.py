"""The forms of images that a Python caller may have."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.forms import batches_in, is_data_set

NUMBERS = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 4, 4).contiguous()
LABELS = torch.zeros(6).long()


def inputs_of(batch):
    inputs = batch['inputs'] if isinstance(batch, dict) else batch
    return torch.stack(inputs) if isinstance(inputs, list) else inputs


@pytest.mark.parametrize(
    'images',
    [
        NUMBERS.numpy(),
        [NUMBERS[:4].numpy(), NUMBERS[4:].numpy()],
        list(NUMBERS),
        [NUMBERS[:3], *NUMBERS[3:]],
        (NUMBERS[i : i + 1] for i in range(6)),
        DataLoader(TensorDataset(NUMBERS, LABELS), batch_size=4),
        DataLoader(list(NUMBERS), batch_size=4),
        [(NUMBERS, LABELS)],
        dict(inputs=NUMBERS),
        [dict(inputs=NUMBERS[:4]), dict(inputs=NUMBERS[4:])],
        [dict(inputs=list(NUMBERS))],
        [dict(inputs=image) for image in NUMBERS],
    ],
)
def test_forms_of_images(images):
    found = torch.cat([inputs_of(batch) for batch in batches_in(images)])
    assert torch.equal(found, NUMBERS)


def test_images_of_several_sizes():
    images = [torch.zeros(3, 4, 4), torch.ones(3, 4, 4), torch.zeros(3, 6, 4)]
    assert [len(batch) for batch in batches_in(images)] == [2, 1]
    assert [len(batch) for batch in batches_in(images, 1)] == [1, 1, 1]


def test_what_has_single_images_by_number():
    assert is_data_set(TensorDataset(NUMBERS, LABELS))
    for images in (NUMBERS, NUMBERS.numpy(), [NUMBERS], dict(inputs=NUMBERS), 'photo.jpg'):
        assert not is_data_set(images)
    assert not is_data_set(DataLoader(NUMBERS))


@pytest.mark.parametrize(
    ('images', 'words'),
    [
        (None, 'images: NoneType is not a tensor'),
        ('photo.jpg', 'images: str is not a tensor'),
        (['photo.jpg'], 'images: a str is not a tensor'),
        (np.array(['photo.jpg']), 'images: an array of <U9 is not a tensor'),
        (NUMBERS[0], r'images: a Tensor of shape \(3, 4, 4\) is not a tensor'),
        ([LABELS], r'images: a Tensor of shape \(6,\) is not a tensor'),
        (dict(image=NUMBERS), 'images: a dict with the keys image is not a tensor'),
    ],
)
def test_what_are_no_images(images, words):
    with pytest.raises(CompressionError, match=words):
        list(batches_in(images))
