"""The size of a padded batch, from mmdet's meta data."""

from mmdet_lcp.detectors.roi_samples import batch_shape


def test_the_largest_image_on_either_side():
    metas = [dict(pad_shape=(32, 64, 3)), dict(pad_shape=(48, 40, 3))]
    assert batch_shape(metas) == (48, 64)


def test_what_the_preprocessor_padded_to_comes_first():
    metas = [dict(pad_shape=(32, 64), batch_input_shape=(64, 96)), dict(pad_shape=(48, 40))]
    assert batch_shape(metas) == (64, 96)
