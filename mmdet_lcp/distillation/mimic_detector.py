"""A student with its teacher beside it, as one model for the training loop."""

from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.feature_mimic import FeatureMimic
from mmdet_lcp.distillation.mimic_inputs import scaled_batch


class MimicDetector(AttachedDetector):
    """L = lambda_1 L_m + L_gt (Li et al., CVPR 2017).

    To whoever looks for an attribute it is the student: hooks that switch something in a
    detector's head or tell it the epoch work as without a teacher.

    Args:
        detector: the student, a plain mmdet detector, which is trained in place.
        mimic: the attachment.
        detector_weight: factor of the student's own losses, >= 0.
        image_scale: the student sees the images scaled by this, in (0, 1], the teacher as they
            are. In eval mode images are taken to have the student's size.
    """

    def __init__(
        self,
        detector: nn.Module,
        mimic: FeatureMimic,
        detector_weight: float = 1.0,
        image_scale: float = 1.0,
    ) -> None:
        super().__init__(detector, {mimic.name: mimic})
        self.mimic_name = mimic.name
        self.detector_weight = detector_weight
        self.image_scale = image_scale

    @property
    def mimic(self) -> FeatureMimic:
        """The attachment."""
        return self.attachments[self.mimic_name]

    def __getattr__(self, name: str) -> Any:
        """The student's, where the wrapper has none."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__('detector'), name)

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """As the student's own; with ``mode='loss'`` the mimic losses too."""
        if mode != 'loss':
            return self.detector(inputs, data_samples, mode=mode)
        images, samples = scaled_batch(inputs, data_samples, self.image_scale)
        mimic = self.mimic
        with mimic.watch(), Taps(self.detector, mimic.paths) as taps:
            losses = dict(self.detector(images, samples, mode='loss'))
        losses = {key: self._weighted(key, value) for key, value in losses.items()}
        # Regions and their losses need full precision.
        with torch.autocast(inputs.device.type, enabled=False):
            losses.update(mimic.losses(taps, samples, inputs, data_samples))
        return losses

    def _weighted(self, key: str, value: Any) -> Any:
        if self.detector_weight == 1 or 'loss' not in key:
            return value
        if isinstance(value, (list, tuple)):
            return [self.detector_weight * item for item in value]
        return self.detector_weight * value
