"""mmengine: data sets without images."""

from __future__ import annotations

import functools

from mmdet_lcp.errors import CompressionError


def empty_datasets_named() -> None:
    """Make ``BaseDataset`` say which data set is empty, where NumPy's error is all one sees.

    A data set serialises its images while it is built, and NumPy refuses to concatenate none:
    ``need at least one array to concatenate``.
    """
    from mmengine.dataset import BaseDataset

    serialize = BaseDataset._serialize_data
    if hasattr(serialize, '_lcp_fix'):
        return

    @functools.wraps(serialize)
    def fixed_serialize(self):
        if not self.data_list:
            raise CompressionError(empty_dataset_message(self))
        return serialize(self)

    fixed_serialize._lcp_fix = 'mmengine BaseDataset._serialize_data'
    BaseDataset._serialize_data = fixed_serialize


def empty_dataset_message(dataset) -> str:
    """What to say of a ``BaseDataset`` without images: its type, files, folders and filter."""
    return (
        f'{type(dataset).__name__} has no images: ann_file={dataset.ann_file!r}, '
        f'data_prefix={dict(dataset.data_prefix)!r}, filter_cfg={dataset.filter_cfg!r}. Check '
        'that the annotations list images, that metainfo names classes which occur in them, and '
        'that filter_cfg leaves some over'
    )
