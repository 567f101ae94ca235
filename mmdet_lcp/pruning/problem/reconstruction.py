"""L_re as a term of L: how far the consumers' outputs are from the original ones."""

import torch
from torch import Tensor

from mmdet_lcp.losses import reconstruction_loss
from mmdet_lcp.pruning.problem.selection_batch import shares_of_runs
from mmdet_lcp.registry import LOSS_TERMS
from mmdet_lcp.selection.loss_term import Candidate, LossTerm


@LOSS_TERMS.register_module()
class Reconstruction(LossTerm):
    """L_re of every consumer, added up; of one that runs several times, over all runs together.

    Source: LCP (Xie et al., arXiv 1911.02237), reconstruction error; see `reconstruction_loss`.
    """

    any_strides = True

    def losses(self, candidate: Candidate) -> dict[str, Tensor]:
        """L_re as ``reconstruction``."""
        total = sum(
            share * reconstruction_loss(*_as_they_lie(target, output))
            for path in candidate.kernels
            for target, output, share in zip(
                candidate.targets[path],
                candidate.outputs(path),
                shares_of_runs(candidate.targets[path]),
                strict=True,
            )
        )
        return {'reconstruction': total}


def _as_they_lie(target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps in the order of the memory, which is faster to add up; L_re has no order."""
    together = torch.channels_last
    if all(x.dim() == 4 and x.is_contiguous(memory_format=together) for x in (target, output)):
        return target.movedim(1, -1), output.movedim(1, -1)
    return target, output
