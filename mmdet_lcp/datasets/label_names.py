"""The names of a data set's classes in the order of its labels.

mmdet's ``CocoDataset`` numbers the classes as its annotation file lists them, whatever the order
in ``metainfo``; data sets of XML files number them as ``metainfo`` does. Names that are read from
``metainfo`` alone can so be those of other classes.
"""

import functools
import json
import mmap
from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path

_KEY = b'"categories"'


def label_names(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes, by label.

    Args:
        dataset: of mmdet; of one that is put together, the first part counts.

    Returns:
        A name for each label; ``None`` where the data set tells none.
    """
    part = next(parts(dataset))
    known = named_by_metainfo(part)
    if not labels_follow_the_file(part):
        return known
    by_id = dict(_categories(part.ann_file, part.backend_args))
    labels = sorted(part.cat2label, key=part.cat2label.__getitem__)
    if not by_id.keys() >= set(labels):
        return known
    return tuple(by_id[category] for category in labels)


def label_meta(dataset: Any) -> dict[str, Any]:
    """``classes`` and ``palette`` of a data set's ``metainfo``, in the order of its labels.

    Plain data, for checkpoints and pictures; what ``metainfo`` lacks is left out.
    """
    known = dict(getattr(dataset, 'metainfo', None) or {})
    meta = {key: known[key] for key in ('classes', 'palette') if key in known}
    classes, names = named_by_metainfo(dataset), label_names(dataset)
    if names is None or names == classes:
        return meta
    meta['classes'] = names
    palette = meta.get('palette')
    if isinstance(palette, Sequence) and len(palette) >= len(classes) and {*names} == {*classes}:
        meta['palette'] = [palette[classes.index(name)] for name in names]
    return meta


def parts(dataset: Any) -> Iterator[Any]:
    """The data sets that one is put together of; itself if it is not."""
    inner = getattr(dataset, 'datasets', None)
    if inner is None and hasattr(dataset, 'dataset'):
        inner = [dataset.dataset]
    if not inner:
        yield dataset
        return
    for part in inner:
        yield from parts(part)


def labels_follow_the_file(dataset: Any) -> bool:
    """Whether labels count the classes as the annotation file lists them."""
    return isinstance(dataset, CocoDataset) and bool(getattr(dataset, 'cat2label', None))


def named_by_metainfo(dataset: Any) -> tuple[str, ...] | None:
    """The classes as ``metainfo`` names them."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return None if not classes else (classes,) if isinstance(classes, str) else tuple(classes)


def _categories(ann_file: str, backend_args: dict | None) -> tuple[tuple[int, str], ...]:
    with get_local_path(ann_file, backend_args=backend_args) as path:
        return _categories_in(str(path))


@functools.lru_cache(maxsize=32)
def _categories_in(path: str) -> tuple[tuple[int, str], ...]:
    """(id, name) of each category that a file in COCO's format lists; none if it has no list.

    The file may have gigabytes: the list is read where it stands, and the whole file only where
    that is not clear.
    """
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        place = text.find(_KEY)
        if place >= 0 and text.find(_KEY, place + 1) < 0:
            found = _list_behind(text, place + len(_KEY))
        else:
            found = json.loads(text[:].decode()).get('categories')
    if not isinstance(found, list):
        return ()
    return tuple((item['id'], item['name']) for item in found if {'id', 'name'} <= {*item})


def _list_behind(text: mmap.mmap, start: int) -> Any:
    """What stands behind a key of a JSON text."""
    start = text.find(b':', start) + 1
    size = 1 << 16
    while True:
        window = text[start : start + size].decode(errors='ignore').lstrip()
        try:
            return json.JSONDecoder().raw_decode(window)[0]
        except ValueError:
            if start + size >= len(text):
                raise
            size *= 8
