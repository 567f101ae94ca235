"""Classes that a detector is measured on, and that have no object there.

They have no precision: COCO's and VOC's metrics leave them out of the mean, and where no class has
an object COCO's tell -1. Nothing else would say so.
"""

from collections.abc import Iterator
from typing import Any

from mmdet_lcp.datasets.label_names import label_names, parts
from mmdet_lcp.engine.class_check import named_by_evaluator
from mmdet_lcp.engine.coco_files import coco_files, is_to_be_found


def absent_classes(name: str, loop: Any, given: Any) -> Iterator[tuple[str, str]]:
    """Classes of a set that have no object there.

    Args:
        name: of the set, ``'val'`` or ``'test'``.
        loop: it has been built.
        given: the config of its evaluator.

    Yields:
        A file and a class.
    """
    in_coco = False
    for file, api, metric in coco_files(name, loop, given):
        classes = named_by_evaluator(metric)
        if not classes:
            continue
        in_coco = True
        seen = {item['category_id'] for item in api.anns.values() if is_to_be_found(item)}
        numbers = {item['name']: item['id'] for item in api.cats.values()}
        yield from ((file, c) for c in classes if c in numbers and numbers[c] not in seen)
    if not in_coco:
        yield from _absent_in_data(name, loop.dataloader.dataset)


def _absent_in_data(name: str, dataset: Any) -> Iterator[tuple[str, str]]:
    """The same for data in another format, from the data set's own list."""
    classes = label_names(dataset)
    every = list(parts(dataset))
    if not classes or not all(hasattr(part, 'get_data_info') for part in every):
        return
    seen = {
        item['bbox_label']
        for part in every
        for index in range(len(part))
        for item in part.get_data_info(index).get('instances', ())
        if not item.get('ignore_flag') and 'bbox_label' in item
    }
    file = getattr(every[0], 'ann_file', '') or f'the data of {name}_dataloader'
    yield from ((file, c) for label, c in enumerate(classes) if label not in seen)
