"""What a measurement leaves out without a word: classes without an object, the box with id 0."""

from collections.abc import Iterator
from typing import Any

from mmdet_lcp.engine.absent_classes import absent_classes
from mmdet_lcp.engine.coco_files import coco_files, is_to_be_found


def measurement_notes(runner: Any, names: tuple[str, ...] = ('val', 'test')) -> list[str]:
    """A sentence for each thing that the figures of a run do not count, the same one but once.

    Args:
        runner: an mmengine runner; its loops have been built.
        names: of the sets to look at.
    """
    lines: list[str] = []
    for name in names:
        if getattr(runner, f'_{name}_loop', None) is None:
            continue
        loop = getattr(runner, f'{name}_loop')
        given = (getattr(runner, 'cfg', None) or {}).get(f'{name}_evaluator')
        lines += [
            f'class {missing!r} has no object in {file}: it does not count in the mean'
            for file, missing in absent_classes(name, loop, given)
        ]
        lines += _never_found(name, loop, given)
    return list(dict.fromkeys(lines))


def _never_found(name: str, loop: Any, given: Any) -> Iterator[str]:
    """COCO's metric keeps the id of the box that a detection has found, 0 for none.

    Seen with pycocotools 2.0.11.
    """
    for file, api, _ in coco_files(name, loop, given):
        if 0 in api.anns and is_to_be_found(api.anns[0]):
            number = sum(map(is_to_be_found, api.anns.values()))
            yield (
                f'the annotation with id 0 in {file}, 1 of {number} objects, never counts as '
                "found, and a detection of it counts as false: COCO's metric takes 0 for none. "
                'Number the annotations from 1'
            )
