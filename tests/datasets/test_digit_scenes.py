"""Scenes: a digit's box is where its ink is, and clutter can be left out."""

import numpy as np

from mmdet_lcp.datasets.digit_scenes import render_scene
from mmdet_lcp.datasets.digits import _check_params, _load_glyphs


def test_boxes_are_tight_by_the_pixels_that_a_digit_changed():
    params = _check_params(3, 160, None, (1, 1), (0.15, 0.5), 1.0)
    glyphs = _load_glyphs(3)['train']
    off = []
    for number in range(40):
        image, (digit,) = render_scene(np.random.default_rng(number), glyphs, params)
        empty, none = render_scene(np.random.default_rng(number), glyphs, params, False)
        assert none == []
        changed = (image != empty).any(axis=2)
        x, y, w, h = digit.box
        ys, xs = np.nonzero(changed)
        measured = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        off.append(np.abs(np.subtract(measured, (x, y, x + w, y + h))))
        inside = changed[y : y + h, x : x + w]
        assert inside.sum() == changed.sum()
    assert np.max(off) <= 1
    assert np.mean(off) < 0.02


def test_clutter_0_draws_no_distractors_and_sizes_follow_the_image():
    glyphs = _load_glyphs(0)['train']
    params = _check_params(0, 320, None, (1, 5), (0.15, 0.5), 0)
    image, digits = render_scene(np.random.default_rng(0), glyphs, params)
    assert image.shape == (320, 320, 3)
    assert all(max(digit.box[2:]) >= 32 for digit in digits)
