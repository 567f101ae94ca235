"""Errors of a Python call name its arguments, whatever the config's keys are called."""

import pytest
import small_ssd
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.call_words import in_call_words, in_its_words


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('pruning.ratio=1.5 is', 'ratio=1.5 is'),
        ("pruning.ratio['a'] and pruning.layers", "ratio['a'] and layers"),
        ('lower pruning.min_channels.', 'lower min_channels.'),
        ('leave it out of `pruning.layers`', 'leave it out of layers'),
        ('let pruning.layers and pruning.stages take in more', 'let layers take in more'),
        ("take pruning.criterion.type='L1Norm'", "take criterion='L1Norm'"),
        ('see mmdet_lcp.pruning.criteria and my_pruning.ratio', None),
        ('the loss of the Net needs a detector of mmdet', None),
        ("the detector's outputs", "the network's outputs"),
        ("of the dense detector's latency", "of the dense network's latency"),
    ],
)
def test_words(text, words):
    assert in_call_words(text, nn.ReLU()) == (text if words is None else words)


def test_a_detector_is_called_so():
    assert in_call_words("the detector's outputs", small_ssd.build()) == "the detector's outputs"


@pytest.mark.parametrize('named', [False, True])
def test_errors_of_a_call(named):
    @in_its_words
    def call(detector, ratio):
        raise CompressionError(f'pruning.ratio={ratio}: the detector')

    with pytest.raises(CompressionError, match=r'^ratio=2: the network$'):
        call(detector=nn.ReLU(), ratio=2) if named else call(nn.ReLU(), 2)
    assert call.__name__ == 'call'
