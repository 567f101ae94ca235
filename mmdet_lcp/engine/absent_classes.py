"""Classes that a detector is measured on, and that have no object there.

They have no precision: COCO's and VOC's metrics leave them out of the mean, and where no class has
an object COCO's tell -1. Nothing else would say so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mmdet_lcp.datasets.label_names import label_names, parts
from mmdet_lcp.engine.class_check import named_by_evaluator


def absent_class_lines(runner: Any, names: tuple[str, ...] = ('val', 'test')) -> list[str]:
    """A sentence for each class without an object, the same one but once.

    Args:
        runner: an mmengine runner; its loops have been built.
        names: of the sets to look at.
    """
    lines = []
    for name in names:
        if getattr(runner, f'_{name}_loop', None) is None:
            continue
        loop = getattr(runner, f'{name}_loop')
        given = (getattr(runner, 'cfg', None) or {}).get(f'{name}_evaluator')
        lines += [
            f'class {missing!r} has no object in {file}: it does not count in the mean'
            for file, missing in _absent(name, loop, given)
        ]
    return list(dict.fromkeys(lines))


def _absent(name: str, loop: Any, given: Any) -> Iterator[tuple[str, str]]:
    """Pairs of a file and a class."""
    configs = given if isinstance(given, (list, tuple)) else [given]
    metrics = list(getattr(loop.evaluator, 'metrics', []))
    in_coco = False
    for number, metric in enumerate(metrics):
        api, classes = getattr(metric, '_coco_api', None), named_by_evaluator(metric)
        if api is None or not classes:
            continue
        in_coco = True
        config = configs[number] if number < len(configs) else None
        file = config.get('ann_file') if isinstance(config, Mapping) else None
        here = file or f'the annotation file of {name}_evaluator'
        seen = {item['category_id'] for item in api.anns.values() if _counts(item)}
        numbers = {item['name']: item['id'] for item in api.cats.values()}
        yield from ((here, c) for c in classes if c in numbers and numbers[c] not in seen)
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


def _counts(item: Mapping[str, Any]) -> bool:
    return not item.get('iscrowd') and not item.get('ignore')
