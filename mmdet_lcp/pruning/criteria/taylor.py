"""Taylor: how much the detector's own loss would change, to first order, without a filter.

Importance Estimation for Neural Network Pruning (Molchanov et al., CVPR 2019, arXiv 1906.10771).
A filter m is given a gate z_m = 1 that multiplies it; its importance is the squared change of the
loss E that setting z_m to 0 makes to first order,

    I_m = (dE/dz_m)^2 = (sum_s g_s w_s)^2      over its weights w_s with gradients g_s,

taken on each mini-batch and averaged. The gate here is on the filter's weights, which every group
has. The paper's best form has it behind the batch norm.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine import dist
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA
from mmdet_lcp.selection.images import detection_loss
from mmdet_lcp.training_mode import in_training


@CRITERIA.register_module()
class Taylor(RankingCriterion):
    """S_k: I of the filters that write channel k, averaged over the selection images.

    Mini-batches are the selection's, those of all ranks, each weighed by its number of images. The
    loss is the detector's training loss with the running statistics of batch norms: with those of
    the batch itself, a batch norm would undo any scaling of the filter before it, and I would
    vanish.

    I is a change of the same loss everywhere; the paper ranks the filters of all layers by it.
    """

    comparable = True

    def scores(self, problem: SelectionProblem) -> Tensor:
        """S_k, (channels,), >= 0; over several producers the sum. The detector stays as it is.

        Raises:
            CompressionError: the loss does not depend on the group at all.
        """
        # Three lines instead of Torch-Pruning's `GroupTaylorImportance`: that one reads `.grad`,
        # of a single gradient, gives the root of I, and sorts the indices away from their roots.
        layers = list(problem.producers.values())
        weights = [layer.module.weight for layer in layers]
        total = torch.zeros(problem.channels, dtype=torch.float64)
        count = torch.zeros((), dtype=torch.float64)
        with in_training(problem.detector), _differentiable(weights):
            for images in problem.images:
                loss = detection_loss(problem.detector, images, problem.seed)
                gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
                changes = [
                    layer.filters(weight.detach().double() * gradient.double()).sum(1)
                    for layer, weight, gradient in zip(layers, weights, gradients, strict=True)
                ]
                squares = [
                    change[layer.index].square()
                    for layer, change in zip(layers, changes, strict=True)
                ]
                found = sum_by_channel(problem.channels, zip(layers, squares, strict=True))
                total += found * len(images.inputs)
                count += len(images.inputs)
        dist.all_reduce(total)
        dist.all_reduce(count)
        if not total.any():
            raise CompressionError(
                f'{problem.name}: the loss of the detector does not depend on it on any of the '
                'selection images. Check that these have objects (pruning.selection.num_images), '
                'or leave this group out of pruning.layers.'
            )
        return total / count


@contextmanager
def _differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    """Gradients of these parameters, frozen ones too, in full precision, for a while."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        with torch.enable_grad(), torch.autocast(weights[0].device.type, enabled=False):
            yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
