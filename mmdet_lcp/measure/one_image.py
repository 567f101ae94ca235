"""The forward pass that costs are counted in and timed: one image of noise through a detector."""

import contextlib
from collections.abc import Iterator

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures import DetDataSample
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.graph.forward import is_two_stage, tensor_forward
from mmdet_lcp.modes import in_eval


@contextlib.contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put ``models`` into eval mode without gradients, and every module back afterwards."""
    with in_eval(*models), torch.no_grad():
        yield


def run_once(detector: nn.Module, input_shape: tuple[int, int]) -> None:
    """Run the forward pass that is counted and timed here once, for the sake of hooks.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with evaluating(detector):
        forward, image = prepare(detector, input_shape)
        forward(image)


class _Forward(nn.Module):
    """A detector with its data sample: one tensor in, a flat tuple of tensors out."""

    def __init__(self, detector: nn.Module, data_sample: DetDataSample, mode: str) -> None:
        super().__init__()
        self.detector = detector
        self.data_sample = data_sample
        self.mode = mode

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if self.mode == 'tensor' and _lacks_tensor_mode(self.detector):
            outputs = tensor_forward(self.detector, image, [self.data_sample])
        elif isinstance(self.detector, BaseDetector):
            outputs = self.detector(image, [self.data_sample], mode=self.mode)
        else:
            outputs = self.detector(image)
        return tuple(leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))


def _lacks_tensor_mode(detector: nn.Module) -> bool:
    """Whether mmdet's own ``mode='tensor'`` stops on a detector, for want of proposals or masks.

    Fast R-CNN wants proposals; the RPN of Sparse R-CNN and of Cascade RPN has no ``forward``;
    instance segmentors with a head of boxes want their annotations.
    """
    if is_two_stage(detector):
        return not detector.with_rpn or not _has_forward(detector.rpn_head)
    return isinstance(detector, SingleStageInstanceSegmentor) and detector.with_bbox


def _has_forward(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


def prepare(
    detector: nn.Module, input_shape: tuple[int, int], mode: str = 'tensor'
) -> tuple[_Forward, Tensor]:
    """Return what to run, in the detector's own modes, and a preprocessed noise image for it."""
    if len(input_shape) != 2 or not all(isinstance(n, int) and n > 0 for n in input_shape):
        raise CompressionError(f'input_shape is (height, width) in pixels, not {input_shape!r}.')
    noise, channels = torch.Generator().manual_seed(0), input_channels(detector)
    image = torch.randint(0, 256, (channels, *input_shape), generator=noise, dtype=torch.uint8)
    shape = tuple(input_shape)
    meta = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=dict(**meta, batch_input_shape=shape, img_id=0))
    preprocessor = getattr(detector, 'data_preprocessor', None)
    if isinstance(preprocessor, ImgDataPreprocessor):
        data = preprocessor(dict(inputs=[image], data_samples=[sample]), training=False)
        batch, sample = data['inputs'], data['data_samples'][0]
    else:
        batch = (image[None].float() - 128) / 64
    parameter = next(detector.parameters(), None)
    if parameter is not None:
        batch = batch.to(parameter.device)
    forward = _Forward(detector, sample, mode)
    forward.training = False
    return forward, batch
