"""What backbones made of stages have in common: taps, frozen stages, and norms kept in eval."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class StagedBackbone(BaseModule):
    """A chain of stages ``stage1``, ``stage2``, ..., some of whose outputs are returned.

    Subclasses add the stages by name, in order, and call `freeze` when they are there.

    Args:
        num_stages: Stages that there are, >= 1.
        out_stages: The stages whose output is returned, rising, each in 1..num_stages. Stages
            after the last one are not built.
        frozen_stages: The first so many stages are not trained, their batch norms in eval mode;
            in 0..out_stages[-1].
        norm_eval: Keep batch norm's running statistics fixed while training.
        init_cfg: mmengine's initialisation config; Kaiming (fan-out, ReLU) by default.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        num_stages: int,
        out_stages: Sequence[int],
        frozen_stages: int = 0,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        stages = tuple(out_stages)
        if not stages or any(s not in range(1, num_stages + 1) for s in stages):
            raise ValueError(f'out_stages must name stages in 1..{num_stages}, got {out_stages}')
        if list(stages) != sorted(set(stages)):
            raise ValueError(f'out_stages must rise, got {out_stages}')
        if frozen_stages not in range(stages[-1] + 1):
            raise ValueError(f'frozen_stages must be in 0..{stages[-1]}, got {frozen_stages}')
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
                dict(type='Constant', layer='BatchNorm2d', val=1, bias=0),
            ]
        super().__init__(init_cfg=init_cfg)
        self.out_stages = stages
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stage_names = tuple(f'stage{number}' for number in range(1, stages[-1] + 1))

    def freeze(self) -> None:
        """Stop training the first ``frozen_stages`` stages."""
        for name in self.stage_names[: self.frozen_stages]:
            stage: nn.Module = getattr(self, name)
            stage.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of ``out_stages``."""
        outs = []
        for number, name in enumerate(self.stage_names, 1):
            x = getattr(self, name)(x)
            if number in self.out_stages:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> StagedBackbone:
        """Set the training mode; frozen stages, and norms with ``norm_eval``, stay in eval."""
        super().train(mode)
        self.freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
