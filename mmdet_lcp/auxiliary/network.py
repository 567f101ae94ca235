"""LCP's auxiliary network tests whether a layer's output still tells what is in a box, and where.

The paper (Xie et al., arXiv 1911.02237) does not publish its layers. Ours is the auxiliary
classifier of DCP (Zhuang et al., NeurIPS 2018: BN, ReLU, pooling, linear) with contextual RoIAlign
in the place of the global pooling and a second linear head for the box.
"""

import math

from mmdet.registry import TASK_UTILS
from torch import Tensor, nn

from mmdet_lcp.auxiliary.contextual_roi_align import ContextualRoIAlign
from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.losses import LocalizationAwareLoss
from mmdet_lcp.registry import MODELS


def spatial_scale(feature_size: tuple[int, int], img_shape: tuple[int, int]) -> float:
    """Feature pixels per image pixel of a feature map.

    The plain ratio of the sizes is wrong where a stride does not divide the image: 300 pixels at
    stride 8 give 38 cells, but a cell still spans 8 pixels, not 300 / 38. So a stride within a
    tenth of a power of two is taken to be that power.

    Args:
        feature_size: (height, width) of the feature map.
        img_shape: (height, width) of the padded batch image in pixels.
    """
    # The longer side suffers least from rounding.
    side = 0 if img_shape[0] > img_shape[1] else 1
    stride = img_shape[side] / feature_size[side]
    power = 2.0 ** round(math.log2(stride))
    return 1 / power if abs(stride / power - 1) < 0.1 else 1 / stride


@MODELS.register_module()
class AuxiliaryNetwork(nn.Module):
    """BN -> ReLU -> contextual RoIAlign -> linear heads for class and box.

    It is trained together with the detector; frozen and in eval mode it is a fixed function
    through which gradients flow to the features alone.

    Args:
        in_channels: Channels of the convolution output that it reads.
        num_classes: Object classes, the background not counted.
        bbox_coder: A coder of boxes relative to boxes, or its config; what the box head predicts
            is relative to the default box in that coder's terms.
        contextual: Add the box that encloses default box and object (see ContextualRoIAlign).
        output_size: Bins along each side. 3 keeps apart left, middle and right, top and bottom of
            a box, which is what locating it takes, at a fifth of the cost of the usual 7.
        sampling_ratio: Sample points along each side of a bin.
        pool_mode: 'avg' or 'max'.
        cls_weight: Factor of the cross-entropy.
        box_weight: m, the factor of 1 - GIoU.

    Raises:
        CompressionError: A value out of range, by the parts that use it.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        bbox_coder: object,
        contextual: bool = True,
        output_size: int = 3,
        sampling_ratio: int = 2,
        pool_mode: str = 'avg',
        cls_weight: float = 1.0,
        box_weight: float = 50.0,
    ) -> None:
        super().__init__()
        if isinstance(bbox_coder, dict):
            bbox_coder = TASK_UTILS.build(bbox_coder)
        self.num_classes = num_classes
        self.bbox_coder = bbox_coder
        self.norm = nn.BatchNorm2d(in_channels)
        # Not in place: the features belong to the detector.
        self.relu = nn.ReLU()
        self.roi_align = ContextualRoIAlign(
            output_size, sampling_ratio, pool_mode, contextual=contextual
        )
        width = in_channels * output_size**2
        self.cls_head = nn.Linear(width, num_classes + 1)
        self.box_head = nn.Linear(width, 4)
        # Small, so that training starts at the default boxes and near uniform scores; 1 - GIoU
        # weighs 50 and would otherwise swamp the detector's own losses at first.
        for head in (self.cls_head, self.box_head):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.loss = LocalizationAwareLoss(cls_weight, box_weight)

    def predict(
        self, features: Tensor, samples: RoISamples, img_shape: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits (R, num_classes + 1) and boxes (R, 4) in image pixels.

        Args:
            features: A convolution's output (N, in_channels, H, W).
            samples: The regions to read.
            img_shape: (height, width) of the padded batch image; None takes the samples' own.
        """
        scale = spatial_scale(features.shape[-2:], img_shape or samples.img_shape)
        regions = self.roi_align(
            self.relu(self.norm(features)),
            samples.rois,
            samples.gt_boxes,
            samples.positive,
            scale,
        ).flatten(1)
        deltas = self.box_head(regions).float()
        return self.cls_head(regions).float(), self.bbox_coder.decode(samples.rois[:, 1:], deltas)

    def forward(
        self, features: Tensor, samples: RoISamples, img_shape: tuple[int, int] | None = None
    ) -> dict[str, Tensor]:
        """The losses `loss_aux_cls` and `loss_aux_box`; arguments as for `predict`."""
        cls_scores, boxes = self.predict(features, samples, img_shape)
        return self.loss(cls_scores, boxes, samples.labels, samples.gt_boxes, samples.positive)
