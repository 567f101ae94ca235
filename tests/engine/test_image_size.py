"""The size of deployed images, with data sets that count how often they are opened."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.engine.image_size import deployed_image_size, evaluation_loop


class Images:
    """One image of a size."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)

    def __getitem__(self, index: int) -> dict:
        image = torch.zeros(3, *self.size, dtype=torch.uint8)
        sample = DetDataSample(metainfo=dict(img_shape=self.size))
        return dict(inputs=image, data_samples=sample)


class Broken:
    def __getitem__(self, index: int) -> dict:
        raise FileNotFoundError('0001.jpg')


def loop(dataset) -> SimpleNamespace:
    return SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))


def runner(val=None, test=None) -> SimpleNamespace:
    """As mmengine's: ``_val_loop`` is the config, ``val_loop`` is built from it."""
    return SimpleNamespace(_val_loop=val, val_loop=val, _test_loop=test, test_loop=test)


@pytest.fixture
def detector():
    detector = nn.Module()
    detector.data_preprocessor = DetDataPreprocessor(pad_size_divisor=32)
    return detector


@pytest.mark.parametrize(
    ('val', 'test', 'expected'),
    [
        ((64, 32), None, (64, 32)),
        (None, (40, 70), (64, 96)),  # padded, as the detector sees it
        ((64, 32), (96, 160), (96, 160)),
    ],
)
def test_the_test_sets_size_or_else_the_validation_sets(detector, val, test, expected):
    loops = [size and loop(Images(*size)) for size in (val, test)]
    assert deployed_image_size(runner(*loops), detector) == expected


def test_neither():
    with pytest.raises(CompressionError, match='neither `val_dataloader` nor `test_dataloader`'):
        evaluation_loop(runner())


@pytest.mark.parametrize('which', ['val', 'test'])
def test_both_are_opened(which):
    """A broken validation set is told of before training, though the test set gives the size."""
    loops = dict(val=loop(Images(8, 8)), test=loop(Images(8, 8))) | {which: loop(Broken())}
    with pytest.raises(CompressionError, match=rf'`{which}_dataloader`(.|\n)*0001\.jpg'):
        evaluation_loop(runner(**loops))
