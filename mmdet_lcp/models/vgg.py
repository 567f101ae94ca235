"""VGG as the backbone of Faster R-CNN: VGG-16's conv1_1 to conv5_3, without the last pooling.

Ren et al., "Faster R-CNN", NeurIPS 2015, section 3: its 13 shareable convolutional layers. mmcv
has the network, but as no mmengine module (it knows no `init_cfg`) that returns a bare tensor for
a single map; mmdet has it only in the form that SSD uses.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from mmcv.cnn import VGG as MMCVVGG
from mmengine.model import BaseModule
from torch import Tensor

from mmdet_lcp.registry import MODELS


@MODELS.register_module()
class VGG(MMCVVGG, BaseModule):
    """mmcv's VGG, its layers in `features` as ImageNet checkpoints name them.

    Args:
        depth: 11, 13, 16 or 19 layers.
        with_bn: batch norm after each convolution.
        out_indices: stages whose last map is returned, rising, counted from 0. All but the last
            stage end with their pooling.
        frozen_stages: so many stages, from the first, are not trained; -1 or 0 for none.
        norm_eval: keep batch norm's running statistics fixed while training.
        init_cfg: mmengine's initialisation config; Kaiming by default.

    Shape:
        input ``(N, 3, H, W)``; output a tuple with ``(N, C, H / 2**s, W / 2**s)`` for every stage
        i of ``out_indices``, s = i + 1 but 4 for the last one.
    """

    def __init__(
        self,
        depth: int = 16,
        with_bn: bool = False,
        out_indices: Sequence[int] = (4,),
        frozen_stages: int = -1,
        norm_eval: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            depth,
            with_bn=with_bn,
            out_indices=tuple(out_indices),
            frozen_stages=frozen_stages,
            bn_eval=norm_eval,
            with_last_pool=False,
        )
        self.norm_eval = norm_eval
        # mmcv's __init__ hands nothing on to BaseModule's.
        self.init_cfg = copy.deepcopy(init_cfg) or dict(type='Kaiming', layer='Conv2d')
        # mmcv freezes here alone, which is too late for what asks before training begins.
        self.train()

    def init_weights(self) -> None:
        """As mmengine's modules do, by `init_cfg`."""
        BaseModule.init_weights(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of ``out_indices``, always as a tuple."""
        maps = super().forward(x)
        return (maps,) if isinstance(maps, Tensor) else maps

    def train(self, mode: bool = True) -> VGG:
        """Set the training mode; frozen stages, and with ``norm_eval`` all norms, stay in eval."""
        super().train(mode)
        return self
