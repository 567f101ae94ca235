"""What has trained along with a detector, as terms of the loss that channels are scored by."""

import copy

from torch import Tensor, nn

from mmdet_lcp.auxiliary.network import AuxiliaryNetwork
from mmdet_lcp.selection.loss_term import Candidate, LossTerm


class AuxiliaryTerm(LossTerm):
    """LCP's L_a (arXiv 1911.02237): its auxiliary network on the first consumer's first output.

    The detector does not run for it.

    Args:
        network: a frozen copy of it is taken.
        weight: alpha.
    """

    any_strides = True

    def __init__(self, network: AuxiliaryNetwork, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.network = frozen_copy(network)

    def losses(self, candidate: Candidate) -> dict[str, Tensor]:
        """L_ac as ``classification`` and L_ar as ``regression``, unless its factor is 0."""
        found = self.network(candidate.first, candidate.samples)
        weights = self.network.loss
        losses = {}
        if weights.cls_weight:
            losses['classification'] = found['loss_aux_cls']
        if weights.box_weight:
            losses['regression'] = found['loss_aux_box']
        return losses


class AttachmentTerm(LossTerm):
    """What an attachment loses on the detector as it would be with the candidate's kernels.

    Gradients take the way through all layers between the consumers and what it reads. DCP's
    L_S^p (Zhuang et al., NeurIPS 2018) is such a term.

    Args:
        attachment: an `Attachment`; a frozen copy of it is taken.
        weight: lambda.
    """

    any_strides = True  # it reads taps alone

    def __init__(self, attachment: nn.Module, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.attachment = frozen_copy(attachment)
        self.paths = attachment.paths

    def losses(self, candidate: Candidate) -> dict[str, Tensor]:
        """Those of the attachment, without ``loss_`` in their names."""
        found = self.attachment.losses(candidate.taps, candidate.images.data_samples)
        return {name.removeprefix('loss_'): value for name, value in found.items()}


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose parameters take no gradients."""
    return copy.deepcopy(module).eval().requires_grad_(False)
