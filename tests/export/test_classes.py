"""Names of classes; a checkpoint of other classes than the config's is refused."""

import pytest
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.export.classes import class_names

register_all_modules()


def config(metainfo: dict | None = None) -> Config:
    data = dict(type='VOCDataset', **({'metainfo': metainfo} if metainfo else {}))
    return Config(dict(test_dataloader=dict(dataset=data)))


def meta(*classes: str) -> dict:
    return dict(dataset_meta=dict(classes=classes))


def test_who_says_them():
    own = config(dict(classes=('cat', 'dog')))
    assert class_names(own, meta('cat', 'dog')) == ['cat', 'dog']
    assert class_names(own, {}) == ['cat', 'dog']
    assert class_names(config(), meta('a', 'b')) == ['a', 'b']
    assert class_names(config(), {})[0] == 'aeroplane'
    assert class_names(Config(dict(test_dataloader=None)), {}) is None


def test_they_do_not_belong_together():
    message = r'trained on the classes dog, cat, the config names cat, dog .*belong together'
    with pytest.raises(CompressionError, match=message):
        class_names(config(dict(classes=('cat', 'dog'))), meta('dog', 'cat'))
