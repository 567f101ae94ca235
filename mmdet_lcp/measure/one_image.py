"""The forward pass that costs are counted in and timed: one image of noise through a detector."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import InstanceData
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


@contextlib.contextmanager
def same_proposals(
    detector: nn.Module, like: nn.Module | None, input_shape: tuple[int, int]
) -> Iterator[None]:
    """Let the heads of a two-stage detector run on what another one proposes on the image.

    A detector without some of its channels proposes other regions, and another number of them:
    what its heads cost then says more about these than about its layers.

    Args:
        detector: its RPN still runs.
        like: usually the detector before it was pruned; ``None`` leaves all as it is, and so does
            a detector that `graph.forward.tensor_forward` gives regions of its own.
        input_shape: (height, width) of the image in pixels.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    if like is None or not is_two_stage(like) or _lacks_tensor_mode(like):
        yield
        return
    found: list[InstanceData] = []
    own = like.rpn_head.predict

    def note(*args: Any, **kwargs: Any) -> list[InstanceData]:
        found[:] = [_one_at_least(each, input_shape) for each in own(*args, **kwargs)]
        return found

    def give(features: Any, *args: Any, **kwargs: Any) -> list[InstanceData]:
        detector.rpn_head(features)
        return [each.clone() for each in found]

    with _predicting(like.rpn_head, note):
        run_once(like, input_shape)
    with _predicting(detector.rpn_head, give):
        yield


@contextlib.contextmanager
def _predicting(head: nn.Module, predict: Callable) -> Iterator[None]:
    """Let a head predict in another way."""
    head.__dict__['predict'] = predict
    try:
        yield
    finally:
        del head.__dict__['predict']


def _one_at_least(proposals: InstanceData, input_shape: tuple[int, int]) -> InstanceData:
    """The proposals of an image, or the whole of it where there are none."""
    if len(proposals):
        return proposals
    height, width = input_shape
    boxes = get_box_tensor(proposals.bboxes)
    return InstanceData(bboxes=boxes.new_tensor([[0, 0, width, height]]))


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
