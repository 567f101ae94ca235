"""What a detector gets wrong on an image, and the images on which compression has cost most."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.report.seen_images import SeenImage, see

_IOU = 0.5  # of a box that is right
_TRIED = 12  # images with most additional mistakes that are looked at again


@dataclass(frozen=True)
class Mistakes:
    """Counts of an image.

    Attributes:
        missed: objects without a box of their class, IoU at least 0.5.
        wrong: boxes without an object.
    """

    missed: int = 0
    wrong: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.missed + self.wrong


def mistakes(
    found: InstanceData,
    truth: InstanceData,
    score_thr: float,
    ignored: InstanceData | None = None,
) -> Mistakes:
    """Count what is wrong in the detections of an image.

    The best score goes first and takes the object of its class that it covers best, as in VOC's
    and COCO's metrics.

    Args:
        found: ``bboxes``, ``labels`` and ``scores``.
        truth: ``bboxes`` and ``labels``.
        score_thr: Detections that score less do not count.
        ignored: Objects that may be found or not, such as crowds.
    """
    found = found[found.scores >= score_thr]
    found = found[found.scores.argsort(descending=True, stable=True)]
    overlaps = bbox_overlaps(_boxes(found), _boxes(truth))
    overlaps[torch.as_tensor(found.labels)[:, None] != torch.as_tensor(truth.labels)[None]] = 0
    harmless = torch.zeros(len(found), dtype=torch.bool)
    if ignored is not None and len(ignored):
        harmless = (bbox_overlaps(_boxes(found), _boxes(ignored), 'iof') >= _IOU).any(1)
    free = torch.ones(len(truth), dtype=torch.bool)
    wrong = 0
    for row, passed in zip(overlaps, harmless, strict=True):
        row = row * free
        if len(row) and row.max() >= _IOU:
            free[row.argmax()] = False
        else:
            wrong += int(not passed)
    return Mistakes(int(free.sum()), wrong)


@contextlib.contextmanager
def noted(detector: nn.Module, score_thr: float) -> Iterator[dict[str, Mistakes]]:
    """Count the mistakes of a detector while it is evaluated.

    Args:
        detector: An mmdet detector.
        score_thr: As in :func:`mistakes`.

    Yields:
        Mistakes by the image's name (`image_name`), filled by every prediction within; images
        without annotations are left out.
    """
    counts: dict[str, Mistakes] = {}

    def note(module: nn.Module, args: tuple, output: Any) -> None:
        for sample in output if isinstance(output, list) else ():
            if isinstance(sample, DetDataSample) and (name := image_name(sample.metainfo)):
                count = _of_sample(sample, score_thr)
                if count is not None:
                    counts[name] = count

    hook = detector.register_forward_hook(note)
    try:
        yield counts
    finally:
        hook.remove()


def worst_images(
    dense: nn.Module,
    compressed: nn.Module,
    dataset: Sequence,
    counts: tuple[dict[str, Mistakes], dict[str, Mistakes]],
    score_thr: float,
    num_images: int,
    than: str = 'before',
) -> list[SeenImage]:
    """Images on which the compressed detector makes more mistakes than the one before.

    Args:
        dense: An mmdet detector.
        compressed: Another one for the same classes.
        dataset: That `counts` were noted on.
        counts: Mistakes by image, of `noted`: those of `dense`, empty where they are not known,
            and those of `compressed`.
        score_thr: As it was there.
        num_images: How many at most.
        than: Whose the first detector's mistakes are, in the remarks.

    Returns:
        The images, where most has come to it first, each with a remark that says what.
    """
    before_all, after_all = counts
    added = {
        name: count.total - before_all.get(name, Mistakes()).total
        for name, count in after_all.items()
    }
    names = sorted((n for n in added if added[n] > 0), key=lambda n: -added[n])[:_TRIED]
    places = _places(dataset, names)
    more = []
    for image in see(dense, compressed, dataset, [places[n] for n in names if n in places]):
        before = mistakes(image.dense, image.truth, score_thr)
        after = mistakes(image.compressed, image.truth, score_thr)
        if after.total > before.total:
            image.remark = _remark(before, after, than)
            more.append((after.total - before.total, image))
    more.sort(key=lambda pair: -pair[0])
    return [image for _, image in more[:num_images]]


def image_name(info: dict[str, Any]) -> str:
    """What tells an image of a data set from the others: its path, or else its id; '' if none."""
    name = info.get('img_path') or info.get('img_id')
    return '' if name is None else str(name)


def _of_sample(sample: DetDataSample, score_thr: float) -> Mistakes | None:
    truth, found = sample.get('gt_instances'), sample.get('pred_instances')
    if not all(part is not None and 'bboxes' in part for part in (truth, found)):
        return None
    ignored = sample.get('ignored_instances')
    parts = [
        InstanceData(**{k: _on_cpu(part[k]) for k in ('bboxes', 'labels', 'scores') if k in part})
        for part in (found, truth)
    ]
    known = None
    if ignored is not None and 'bboxes' in ignored:
        known = InstanceData(bboxes=_on_cpu(ignored.bboxes))
    return mistakes(*parts, score_thr, known)


def _on_cpu(values: Any) -> Any:
    return values.cpu() if hasattr(values, 'cpu') else values


def _boxes(instances: InstanceData) -> Tensor:
    if 'bboxes' not in instances:
        return torch.zeros(0, 4)
    return torch.as_tensor(get_box_tensor(instances.bboxes)).float().cpu()


def _places(dataset: Sequence, names: Sequence[str]) -> dict[str, int]:
    """Index in the data set by name; none where it does not tell without loading."""
    if not names or not hasattr(dataset, 'get_data_info'):
        return {}
    wanted, found = set(names), {}
    for index in range(len(dataset)):
        name = image_name(dataset.get_data_info(index))
        if name in wanted:
            found.setdefault(name, index)
    return found


def _remark(before: Mistakes, after: Mistakes, than: str) -> str:
    """What has come to it: ``'misses 3 objects (1 before), 2 wrong boxes (0 before)'``."""
    objects = 'object' if after.missed == 1 else 'objects'
    boxes = 'box' if after.wrong == 1 else 'boxes'
    return (
        f'misses {after.missed} {objects} ({before.missed} {than}), '
        f'{after.wrong} wrong {boxes} ({before.wrong} {than})'
    )
