"""Batches as a detector's own preprocessor gives them in training, but for augmentation."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmdet_lcp.seeds import seeded
from mmdet_lcp.training_mode import in_training


def preprocessed(preprocessor: nn.Module, data: Mapping[str, Any]) -> dict[str, Any]:
    """Normalise images and pad them to one size, and their masks with them.

    In mmdet it is in training alone that masks and segmentations are padded to the size of the
    batch, and that BoxInst's preprocessor makes its masks. Augmentation of whole batches, such as
    another size every few iterations, is left out: the images stay the same in every pass.

    Args:
        preprocessor: of a detector of mmdet; it stays as it is.
        data: a collated batch. Without ground truth it is preprocessed as for prediction.

    Returns:
        A dict with `inputs` (N, C, H, W) and `data_samples`, or what else the preprocessor makes.
        Objects whose box has no area are left out of the samples: the loss of one is not finite.
    """
    samples = data.get('data_samples') or []
    known = bool(samples) and all('gt_instances' in sample for sample in samples)
    with in_training(preprocessor), seeded(0):
        for module in preprocessor.modules():
            if getattr(module, 'batch_augments', None) is not None:
                module.batch_augments = None
        found = preprocessor(dict(data), known)
    if known:
        for sample in found['data_samples']:
            _leave_out_empty(sample)
    return found


def _leave_out_empty(sample: Any) -> None:
    """Take objects without an area out of an mmdet sample, in place."""
    objects = sample.gt_instances
    boxes = getattr(objects.get('bboxes'), 'tensor', objects.get('bboxes'))
    if isinstance(boxes, Tensor) and boxes.shape[-1:] == (4,):
        full = (boxes[:, 2:] > boxes[:, :2]).all(1)
        if not full.all():
            sample.gt_instances = objects[full]
