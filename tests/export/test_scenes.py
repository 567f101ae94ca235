"""Drawn pictures: of the asked form, the same for a seed, and not empty."""

import numpy as np
import pytest

from mmdet_lcp.export.scenes import scenes


@pytest.mark.parametrize('channels', [1, 3])
def test_form(channels):
    drawn = scenes(2, 40, 60, channels)
    assert drawn.shape == (2, 40, 60, channels) and drawn.dtype == np.uint8


def test_a_seed_gives_the_same():
    assert np.array_equal(scenes(2, 32, 32, seed=3), scenes(2, 32, 32, seed=3))
    assert not np.array_equal(scenes(2, 32, 32, seed=3), scenes(2, 32, 32, seed=4))


def test_shapes_with_edges():
    """Between neighbours the noise of 6 alone does not make steps of 40; edges of shapes do."""
    for picture in scenes(4, 64, 64).astype(float):
        steps = np.abs(np.diff(picture, axis=1)).max(-1)
        assert 0.002 < (steps > 40).mean() < 0.5
        assert picture.std() > 15
