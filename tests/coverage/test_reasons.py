"""What mmdet, mmcv and Python say of what is missing, in a user's words."""

import pytest

from mmdet_lcp.coverage.reasons import LONGEST, in_words
from mmdet_lcp.errors import CompressionError


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        (
            RuntimeError('carafe_forward_impl: implementation for device cpu not found.\n'),
            "mmcv's operator carafe_forward runs on GPUs only",
        ),
        (
            ModuleNotFoundError("No module named 'torchvision.ops'"),
            'it needs the package torchvision, which is not installed: pip install torchvision',
        ),
        (  # mmdet's distance2bbox in an export, where boxes are clipped
            ModuleNotFoundError("No module named 'mmdet.core'"),
            'it needs mmdet.core, which the installed mmdet does not have',
        ),
        (  # mmdet's LoadPanopticAnnotations
            ImportError(
                'panopticapi is not installed, please install it by: pip install '
                'git+https://github.com/cocodataset/panopticapi.git.'
            ),
            'it needs the package panopticapi, which is not installed: pip install '
            'git+https://github.com/cocodataset/panopticapi.git',
        ),
        (  # mmdet's BoxInstDataPreprocessor
            RuntimeError(
                'skimage is not installed,                 please install it by: pip install '
                'scikit-image'
            ),
            'it needs the package skimage, which is not installed: pip install scikit-image',
        ),
        (  # mmdet's HungarianAssigner
            ImportError('Please run "pip install scipy" to install scipy first.'),
            'it needs the package scipy, which is not installed: pip install scipy',
        ),
        (ModuleNotFoundError("No module named 'skimage'"), 'pip install scikit-image'),
        (
            KeyError('mmpretrain.ConvNeXt is not in the mmdet::model registry. Please check'),
            'it needs ConvNeXt of the package mmpretrain',
        ),
    ],
)
def test_what_is_missing_is_named(error, words):
    assert in_words(error).startswith(words) or in_words(error).endswith(words)


def test_an_error_that_another_one_stands_for():
    try:
        try:
            raise RuntimeError('bbox_overlaps_impl: implementation for device cpu not found')
        except RuntimeError as error:
            raise ValueError('the detector could not be traced') from error
    except ValueError as error:
        assert 'operator bbox_overlaps runs on GPUs only' in in_words(error)


def test_the_package_s_own_errors_keep_their_words():
    words = 'mine.py: it needs the package mmpretrain, which is not installed: pip install it'
    assert in_words(CompressionError(words)) == words


def test_other_errors_keep_their_words():
    assert in_words(ValueError('the outputs\n differ')) == 'the outputs differ'
    assert in_words(KeyError('neck')) == "KeyError: 'neck'"
    assert in_words(ZeroDivisionError()) == 'ZeroDivisionError'
    try:
        assert not LONGEST
    except AssertionError as error:
        error.args = ()
        where = 'test_other_errors_keep_their_words of test_reasons.py'
        assert in_words(error) == f'AssertionError in {where}'
    assert len(in_words(ValueError('x' * 999))) == LONGEST
