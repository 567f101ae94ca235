"""Data sets without images say which one they are; all others are built as before."""

import json
import pickle

import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from mmdet_lcp.compat import empty_dataset_message
from mmdet_lcp.compat.empty_datasets import empty_datasets_named
from mmdet_lcp.errors import CompressionError

ITEMS = [dict(img_path='a.png', instances=[1, 2]), dict(img_path='b.png', instances=[])]
UPSTREAM = BaseDataset._serialize_data.__wrapped__


class Numbered(BaseDataset):
    """Leaves over the images with so many objects."""

    def filter_data(self):
        least = (self.filter_cfg or {}).get('least', 0)
        return [item for item in self.data_list if len(item['instances']) >= least]


def make(tmp_path, items=ITEMS, **keys) -> Numbered:
    file = tmp_path / 'some.json'
    file.write_text(json.dumps(dict(metainfo={}, data_list=items)))
    return Numbered(ann_file=str(file), data_prefix=dict(img_path='there/'), **keys)


@pytest.mark.parametrize(('items', 'least'), [([], 0), (ITEMS, 3)])
def test_what_is_empty_is_named(tmp_path, items, least):
    """Without images from the beginning, or because the filter leaves none over."""
    with pytest.raises(CompressionError) as error:
        make(tmp_path, items, filter_cfg=dict(least=least))
    text = str(error.value)
    assert text.startswith('Numbered has no images: ')
    assert f'ann_file={str(tmp_path / "some.json")!r}' in text
    assert "data_prefix={'img_path': 'there/'}" in text
    assert f"filter_cfg={{'least': {least}}}" in text
    assert 'metainfo names classes' in text


def test_the_message_of_a_dataset_that_is_there(tmp_path):
    """Data sets may be asked for it that are not serialised, and so can be built empty."""
    dataset = make(tmp_path, [], serialize_data=False)
    assert len(dataset) == 0
    text = empty_dataset_message(dataset)
    assert text.startswith('Numbered has no images: ') and 'filter_cfg=None' in text


def test_numpys_error_is_all_one_sees_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(BaseDataset, '_serialize_data', UPSTREAM)
    with pytest.raises(ValueError, match='at least one array to concatenate') as error:
        make(tmp_path, [])
    assert not isinstance(error.value, CompressionError)
    empty_datasets_named()
    fixed = BaseDataset._serialize_data
    with pytest.raises(CompressionError, match='no images'):
        make(tmp_path, [])
    empty_datasets_named()
    assert BaseDataset._serialize_data is fixed is not UPSTREAM  # and not wrapped again


def test_images_are_serialised_as_by_mmengine(tmp_path):
    """One pickle behind the other, and where each ends."""
    dataset = make(tmp_path)
    ends = dataset.data_address.tolist()
    whole = dataset.data_bytes.tobytes()
    assert dataset.data_bytes.dtype == np.uint8 and ends[-1] == len(whole)
    found = [pickle.loads(whole[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    assert [item['instances'] for item in found] == [[1, 2], []]
    assert [item['img_path'] for item in found] == ['there/a.png', 'there/b.png']
    assert [dataset[number]['sample_idx'] for number in range(len(dataset))] == [0, 1]
