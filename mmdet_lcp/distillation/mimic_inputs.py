"""One batch of images for two detectors: normalised by two preprocessors, in two sizes."""

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError

_RESCALED = ('img_shape', 'pad_shape', 'batch_input_shape')


def input_conversion(
    student: nn.Module, teacher: nn.Module
) -> Callable[[Tensor, Sequence], Tensor] | None:
    """What turns images that one data preprocessor has normalised into those of another.

    Args:
        student: mmdet's data preprocessor of the student, which has seen the images.
        teacher: that of the teacher.

    Returns:
        A function of images (N, 3, H, W) and their samples; ``None`` where nothing changes.
        Padding gets the teacher's own value.
    """
    given, wanted = _normalization(student), _normalization(teacher)
    value = float(getattr(teacher, 'pad_value', 0))
    same = all(torch.equal(a, b) for a, b in zip(given[:2], wanted[:2], strict=True))
    if same and given[2] == wanted[2] and value == float(getattr(student, 'pad_value', 0)):
        return None

    def convert(images: Tensor, data_samples: Sequence) -> Tensor:
        (mean, std, swapped), (new_mean, new_std, new_swapped) = given, wanted
        images = images * std.to(images) + mean.to(images)
        if swapped != new_swapped:
            images = images.flip(1)
        images = (images - new_mean.to(images)) / new_std.to(images)
        for image, sample in zip(images, data_samples, strict=True):
            height, width = sample.metainfo['img_shape'][:2]
            image[:, height:] = value
            image[:, :, width:] = value
        return images

    return convert


def _normalization(preprocessor: nn.Module) -> tuple[Tensor, Tensor, bool]:
    """(mean, std, whether the channels are swapped) of an `ImgDataPreprocessor`."""
    mean = getattr(preprocessor, 'mean', None)
    std = getattr(preprocessor, 'std', None)
    swapped = bool(getattr(preprocessor, '_channel_conversion', False))
    if mean is None or std is None:
        return torch.zeros(3, 1, 1), torch.ones(3, 1, 1), swapped
    return mean.detach().cpu().view(-1, 1, 1), std.detach().cpu().view(-1, 1, 1), swapped


def scaled_batch(images: Tensor, data_samples: Sequence, scale: float) -> tuple[Tensor, list]:
    """Images and their boxes at a smaller size; what is given stays as it is.

    A pixel of the result is the mean of those that it covers.

    Args:
        images: preprocessed (N, 3, H, W).
        data_samples: their mmdet samples, with `gt_instances`.
        scale: in (0, 1].

    Returns:
        Images (N, 3, scale H, scale W), rounded, and samples to match.

    Raises:
        CompressionError: the objects have masks.
    """
    if scale == 1:
        return images, list(data_samples)
    height, width = images.shape[-2:]
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    factors = (size[1] / width, size[0] / height)
    samples = [_scaled_sample(sample, factors) for sample in data_samples]
    return F.interpolate(images, size=size, mode='area'), samples


def _scaled_sample(sample, factors: tuple[float, float]):
    """A copy of a sample whose boxes and shapes are scaled by factors in x and y."""
    sample = copy.deepcopy(sample)
    meta = {}
    for key in _RESCALED:
        if key in sample.metainfo:
            height, width = sample.metainfo[key][:2]
            meta[key] = (round(height * factors[1]), round(width * factors[0]))
    if 'scale_factor' in sample.metainfo:
        before = sample.metainfo['scale_factor']
        meta['scale_factor'] = (before[0] * factors[0], before[1] * factors[1])
    sample.set_metainfo(meta)
    for name in ('gt_instances', 'ignored_instances'):
        objects = sample.get(name)
        if objects is None:
            continue
        if 'masks' in objects:
            raise CompressionError(
                'mimic.image_scale: objects with masks cannot be scaled; leave masks out of '
                'LoadAnnotations'
            )
        boxes = get_box_tensor(objects.bboxes)
        objects.bboxes = boxes * boxes.new_tensor([factors[0], factors[1]] * 2)
    return sample
