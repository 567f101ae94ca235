"""The COCO files that a run measures against."""

from collections.abc import Iterator, Mapping
from typing import Any


def coco_files(name: str, loop: Any, given: Any) -> Iterator[tuple[str, Any, Any]]:
    """Each metric of a set that reads a COCO file.

    Args:
        name: of the set, ``'val'`` or ``'test'``.
        loop: it has been built.
        given: the config of its evaluator.

    Yields:
        The file, pycocotools' view of it and the metric.
    """
    configs = given if isinstance(given, (list, tuple)) else [given]
    for number, metric in enumerate(getattr(loop.evaluator, 'metrics', [])):
        api = getattr(metric, '_coco_api', None)
        if api is None:
            continue
        config = configs[number] if number < len(configs) else None
        file = config.get('ann_file') if isinstance(config, Mapping) else None
        yield file or f'the annotation file of {name}_evaluator', api, metric


def is_to_be_found(item: Mapping[str, Any]) -> bool:
    """Whether a detector is asked to find an annotation: it is no crowd, and not to be ignored."""
    return not item.get('iscrowd') and not item.get('ignore')
