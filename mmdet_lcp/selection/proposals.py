"""The regions on which the heads of a two-stage detector are read while channels are selected.

The original detector proposes them once. The present detector then reads the same ones, or the
outputs of the two could not be compared: every change of the weights changes the proposals.
"""

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.regions import Regions, noted_rois
from mmdet_lcp.modes import in_eval


@torch.no_grad()
def proposed_regions(
    dense: nn.Module, inputs: Tensor, data_samples: Sequence, count: int
) -> Regions:
    """The best proposals of a two-stage detector, and what its heads make of them.

    Args:
        dense: the original detector.
        inputs: preprocessed images, (N, 3, H, W).
        data_samples: their mmdet samples; without an RPN, with `proposals`.
        count: proposals an image at most, >= 1.

    Returns:
        The proposals with the highest scores; the whole image where there are none. Later stages
        of a cascade have their regions as the original detector refines them.

    Raises:
        CompressionError: the detector has no RPN, and the data no proposals.
    """
    with in_eval(dense):
        if dense.with_rpn:
            found = dense.rpn_head.predict(dense.extract_feat(inputs), data_samples, rescale=False)
        elif all('proposals' in sample for sample in data_samples):
            found = [sample.proposals for sample in data_samples]
        else:
            raise CompressionError(
                f'{type(dense).__name__} has no RPN, and the training images come without '
                'proposals: give the data set a proposal_file'
            )
        boxes = []
        for proposals in found:
            own = get_box_tensor(proposals.bboxes).to(inputs)
            if 'scores' in proposals:
                own = own[proposals.scores.argsort(descending=True, stable=True)]
            height, width = inputs.shape[-2:]
            boxes.append(own[:count] if len(own) else own.new_tensor([[0, 0, width, height]]))
        with noted_rois(dense) as rois:
            tensor_forward(dense, inputs, data_samples, Regions(boxes))
    return Regions(boxes, rois)
