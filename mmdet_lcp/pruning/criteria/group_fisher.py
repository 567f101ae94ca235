"""Group Fisher pruning: keep the channels whose removal would change the detector's loss most.

Group Fisher Pruning for Practical Network Compression (Liu et al., ICML 2021,
arXiv 2108.00708).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.layer_kinds import is_layer, kind_of
from mmdet_lcp.graph.regions import images_of, noted_rois
from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, check_finite
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA
from mmdet_lcp.selection.images import detection_loss
from mmdet_lcp.training_mode import in_training

# Scores are relative to millions of activations, or billions of multiply-accumulates, an image.
UNITS = {'memory': 1e-6, 'flops': 1e-9}


@CRITERIA.register_module()
class GroupFisher(RankingCriterion):
    """s_c = sum_n (dL_n / dm_c)^2 over what removing channel c saves; the largest stay.

    m_c is a factor, 1, on channel c wherever one of the group's consumers reads it, L_n the part
    of image n in the detector's own training loss. The gradients of coupled reads are added for
    each image before they are squared. The paper's factor 1 / 2N is left out: it changes no order.

    The loss is taken on the present detector, a batch at a time, with norms and dropout held
    still. Most heads divide it by a number that all images of a batch share, such as its
    positives; so L_n is relative to its own batch. Images must meet nowhere else: a loss that
    mixes them is not apart by image.

    Within a group all channels save the same, so that ``normalization`` scales all scores alike
    and changes no choice at a given ratio. It matters where scores of groups are compared, for
    `pruning.target`: with ``'memory'`` channels are then ranked by these scores, with ``'flops'``
    and ``None`` by what is not yet divided over what a removal saves of the target's cost at that
    moment.

    A consumer that reads RoIs instead of images finds the image of each by the ``rois`` of
    mmdet's RoI extractors. Where that is impossible, one image a batch will do: then all belongs
    to it.

    Args:
        normalization: what is saved: ``'memory'``, activations of the layers that write the
            channel, an image, in millions (the paper's); ``'flops'``, multiply-accumulates of
            all layers that write or read it, an image, in billions; or ``None`` for no division.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, normalization: Literal['memory', 'flops'] | None = 'memory') -> None:
        if normalization not in ('memory', 'flops', None):
            raise CompressionError(
                f"pruning.criterion.normalization={normalization!r}: use 'memory', 'flops' or None"
            )
        self.normalization = normalization
        self.priced = normalization == 'memory'

    def scores(self, problem: SelectionProblem) -> Tensor:
        """s_c, (channels,), >= 0. The detector and the random generators stay as they are.

        Raises:
            CompressionError: the loss does not depend on the group at all, or a consumer's input
                cannot be told apart by image.
        """
        total, saved = self._measure(problem)
        return total / saved

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """The scores, the smallest first, divided by memory or not at all."""
        total, saved = self._measure(problem)
        scores = total / saved if self.priced else total
        check_finite(problem, scores)
        return scores.sort().values[: problem.channels - least]

    def _measure(self, problem: SelectionProblem) -> tuple[Tensor, Tensor]:
        """sum_n (dL_n / dm_c)^2, (channels,), and what removing a channel saves, a scalar."""
        total = torch.zeros(problem.channels, dtype=torch.float64)
        saved = torch.zeros((), dtype=torch.float64)
        count = torch.zeros((), dtype=torch.float64)
        weight = next(iter(problem.consumers.values())).module.weight.detach()
        with in_training(problem.detector), torch.enable_grad():
            for images in problem.images:
                number = len(images.inputs)
                mask = weight.new_ones(number, problem.channels).requires_grad_(True)
                with _masked(problem, mask) as noted:
                    loss = detection_loss(problem.detector, images, problem.seed)
                if loss.requires_grad:
                    (gradient,) = torch.autograd.grad(loss, mask, materialize_grads=True)
                    total += gradient.double().square().sum(0).cpu()
                saved += noted.macs if self.normalization == 'flops' else noted.activations
                count += number
        for value in (total, saved, count):
            dist.all_reduce(value)
        if not total.any():
            raise CompressionError(
                f'{problem.name}: the loss of the detector does not depend on it on any of the '
                'selection images. Check that these have objects (pruning.selection.num_images), '
                'or leave this group out of pruning.layers.'
            )
        if self.normalization is None:
            return total, torch.ones(())
        return total, saved / count * UNITS[self.normalization]


@dataclass
class _Noted:
    """What hooks note during one forward pass.

    Attributes:
        rois: the regions of every extraction so far.
        activations: elements of a channel's maps at the layers that write it.
        macs: multiply-accumulates that a channel costs at the layers that write or read it.
    """

    rois: list[Tensor]
    activations: float = 0.0
    macs: float = 0.0


@contextmanager
def _masked(problem: SelectionProblem, mask: Tensor) -> Iterator[_Noted]:
    """Multiply what the consumers read of the group by a mask (images, channels) for a while."""
    with ExitStack() as hooks:
        seen = _Noted(hooks.enter_context(noted_rois(problem.detector)))
        for path, layer in problem.consumers.items():
            module = layer.module
            hook = partial(_mask_input, mask, seen, path, layer)
            hooks.callback(module.register_forward_pre_hook(hook).remove)
            hook = partial(_count, problem, seen, layer, 'read')
            hooks.callback(module.register_forward_hook(hook).remove)
        for layer in (*problem.producers.values(), *problem.norms.values()):
            if is_layer(layer.module):  # among the norms: depth-wise
                hook = partial(_count, problem, seen, layer, 'write')
                hooks.callback(layer.module.register_forward_hook(hook).remove)
        yield seen


def _mask_input(
    mask: Tensor, seen: _Noted, path: str, layer: Layer, module: nn.Module, args: tuple
) -> tuple:
    """The consumer's arguments with the mask on its input; a hook."""
    x = args[0]
    own = mask[_images_of(x, len(mask), seen, path)]
    factors = own.new_ones(len(own), layer.inputs)
    factors = factors.index_copy(1, layer.index, own[:, layer.root])
    shape = [len(own)] + [1] * (x.dim() - 1)
    shape[kind_of(module).channel_dim(module, x.dim())] = layer.inputs
    factors = factors.view(shape)
    return (x * factors, *args[1:])


def _images_of(x: Tensor, images: int, seen: _Noted, path: str) -> Tensor:
    """The image that each item of a consumer's input belongs to."""
    own = images_of(len(x), images, seen.rois)
    if own is not None:
        return own.to(x.device)
    raise CompressionError(
        f'GroupFisher cannot tell which image each of the {len(x)} items at {path} belongs to, '
        f'with {images} images in a batch. Set pruning.selection.batch_size=1, or leave its group '
        'out of pruning.layers.'
    )


def _count(
    problem: SelectionProblem,
    seen: _Noted,
    layer: Layer,
    role: Literal['read', 'write'],
    module: nn.Module,
    args: tuple,
    output: Tensor,
) -> None:
    """Add what one call of a layer spends on one of the group's channels; a hook."""
    share = len(layer.index) / problem.channels  # its own channels to one of the group's
    kind = kind_of(module)
    axis = 'in_channels' if role == 'read' else 'out_channels'
    seen.macs += kind.macs_of_channel(module, args[0], output, axis) * share
    if role == 'write':
        seen.activations += output.numel() / kind.size(module, axis) * share
