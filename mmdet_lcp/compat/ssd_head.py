"""mmdet: SSD that predicts."""

from __future__ import annotations

import functools


def ssd_head_loss_cls() -> None:
    """Let SSD predict: give every ``SSDHead`` the attribute ``loss_cls``.

    ``BaseDenseHead`` asks ``self.loss_cls`` whether it has an activation of its own, and SSD
    computes its loss with a function and has none:
    ``'SSDHead' object has no attribute 'loss_cls'``
    (open-mmlab/mmdetection #11063, #11305, #11780). With ``None`` the head takes the path it
    always had: softmax over ``num_classes + 1`` logits, the last class being background.
    The attribute belongs to the instance, so that a subclass may still assign a module to it.
    """
    from mmdet.models.dense_heads import SSDHead

    init = SSDHead.__init__
    if hasattr(init, '_lcp_fix'):
        return

    @functools.wraps(init)
    def fixed_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    fixed_init._lcp_fix = 'mmdetection#11063'
    SSDHead.__init__ = fixed_init
