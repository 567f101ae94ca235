"""DCP's auxiliary classifier in a detector: it names objects from one layer's output.

Discrimination-aware Channel Pruning (Zhuang et al., NeurIPS 2018), the discrimination-aware loss:
F^p = AvgPool(ReLU(BN(O^p))), a linear layer, softmax cross-entropy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import get_box_tensor
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.auxiliary.contextual_roi_align import ContextualRoIAlign
from mmdet_lcp.auxiliary.network import spatial_scale
from mmdet_lcp.detectors.roi_samples import batch_shape
from mmdet_lcp.registry import MODELS


@MODELS.register_module()
class ObjectClassifier(nn.Module):
    """BN -> ReLU -> average over each object's box -> linear layer.

    DCP averages over the whole map, as an image of a classification set has one label. Images of
    a detection set have none, so here the average runs over each object's crop of the map and
    the label is the object's class: our reading. There is no background class.

    Args:
        in_channels: Channels of the convolution output that it reads.
        num_classes: Object classes.
        output_size: Bins along each side of a box, which are averaged, at least 1.
        sampling_ratio: Sample points along each side of a bin, at least 1.

    Raises:
        CompressionError: `output_size` or `sampling_ratio` below 1.
    """

    def __init__(
        self, in_channels: int, num_classes: int, output_size: int = 7, sampling_ratio: int = 2
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        # Not in place: the features belong to the detector.
        self.relu = nn.ReLU()
        self.roi_align = ContextualRoIAlign(output_size, sampling_ratio, contextual=False)
        self.head = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def pool(
        self, features: Tensor, boxes: Sequence[Tensor], img_shape: tuple[int, int]
    ) -> Tensor:
        """F^p of each object, (R, in_channels).

        Args:
            features: O^p, a convolution's output (N, in_channels, H, W).
            boxes: The objects of each image, (R_i, 4) as (x1, y1, x2, y2) in image pixels.
            img_shape: (height, width) of the padded batch image in pixels.
        """
        count = sum(len(image) for image in boxes)
        no_context = torch.zeros(count, dtype=torch.bool, device=features.device)
        crops = self.roi_align(
            self.relu(self.norm(features)),
            boxes,
            features.new_zeros(count, 4),
            no_context,
            spatial_scale(features.shape[-2:], img_shape),
        )
        return crops.mean((2, 3))

    def forward(
        self,
        features: Tensor,
        boxes: Sequence[Tensor],
        labels: Tensor,
        img_shape: tuple[int, int],
    ) -> Tensor:
        """L_S^p: the mean cross-entropy over all objects, a scalar.

        It is part of the graph and zero where there is no object. On several ranks the sum of
        each is divided by the ranks' mean number of objects, so that gradients averaged over the
        ranks are those of the mean over all objects.

        Args:
            features: As for `pool`, like the others.
            boxes: As for `pool`.
            labels: The objects' classes (R,), image by image.
            img_shape: As for `pool`.
        """
        logits = self.head(self.pool(features, boxes, img_shape))
        count = reduce_mean(logits.new_tensor(float(len(labels)))).clamp(min=1.0)
        return F.cross_entropy(logits, labels, reduction='sum') / count


class LayerClassifier(Attachment):
    """DCP's auxiliary classifier on one layer, with the objects of the images.

    Args:
        network: reads the layer's output.
        path: module path of the layer.
    """

    name = 'discrimination'

    def __init__(self, network: ObjectClassifier, path: str) -> None:
        super().__init__()
        self.network = network
        self.path = path
        self.paths = [path]

    def losses(self, taps: Mapping[str, Any], data_samples: list) -> dict[str, Tensor]:
        """L_S^p as ``loss_discrimination``."""
        objects = [sample.gt_instances for sample in data_samples]
        loss = self.network(
            taps[self.path],
            [get_box_tensor(found.bboxes) for found in objects],
            torch.cat([found.labels for found in objects]),
            batch_shape([sample.metainfo for sample in data_samples]),
        )
        return {'loss_discrimination': loss}
