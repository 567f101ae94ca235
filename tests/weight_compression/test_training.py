import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.weight_compression.training import training_of


def test_keys_become_a_training():
    found = training_of(dict(max_epochs=4, lr=0.01), 'methods.a.training')
    assert (found.max_epochs, found.lr) == (4, 0.01)
    assert training_of(found, 'methods.a.training') is found
    assert isinstance(found, PhaseConfig)


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (None, r'methods\.a\.training is missing: say how long'),
        (dict(max_epoch=4), r'methods\.a\.training.*max_epoch.*max_epochs'),
        (dict(max_epochs=-1), r'methods\.a\.training\.max_epochs'),
    ],
)
def test_what_is_wrong_is_told_with_its_key(given, words):
    with pytest.raises(CompressionError, match=words):
        training_of(given, 'methods.a.training')
