"""Weights of few bits, block by block from the bottom: what the methods of that kind share.

BDNN (Pattern Recognition Letters, 2019) has it that with all layers changed at once the errors add
up and the training hardly converges. So the lowest block is changed and fine-tuned, then frozen,
and the next one learns on what this one gives. What was measured of both stands in
configs/bdnn/README.md.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.config.keys import check_pattern, parse
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.run_order import RunOrder, run_order
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.nearest import nearest_hint, without_escapes
from mmdet_lcp.transforms import transforms_of
from mmdet_lcp.weight_compression.blocks import Block, blocks_of, default_blocks
from mmdet_lcp.weight_compression.full_precision import PARTS, full_precision
from mmdet_lcp.weight_compression.layers import choose_layers, weight_layers
from mmdet_lcp.weight_compression.stage import TransformMethod, TransformStage

SCHEDULES = ('greedy', 'progressive', 'all_at_once')


@dataclass(kw_only=True)
class BlockwiseMethod(TransformMethod):
    """Layers change their weights block by block, or all at once.

    Args:
        training: the training behind each block, as `PhaseConfig` takes it. All at once, the
            training is as long as that of all blocks together, its schedule stretched.
        schedule: ``'greedy'``: block by block, each frozen behind its training;
            ``'progressive'``: block by block, and what has been changed trains on;
            ``'all_at_once'``: the control.
        blocks: a regular expression for each block, from the bottom up; every layer that is
            changed is in one of them. ``None``: the backbone's stages, then each other part.
        layers: regular expression, or several: only layers that match one are changed.
        keep: more layers that stay at full precision: regular expression, or several.
        keep_parts: what stays at full precision without being named: ``'first'``, the layer that
            reads the image; ``'predictions'``, the layers whose outputs no other layer reads, and
            DETR's reference points; ``'rpn'``, all of the RPN's head.
        freeze_norms: whether the batch norms below a block's end are frozen with it. They then
            give the next block what it will get in the end, up to their running statistics, which
            go on following; without it, their scales go on fitting the layers above.

    Raises:
        CompressionError: by `check` and `stages`.
    """

    training: Mapping[str, Any]
    schedule: str = 'greedy'
    blocks: Sequence[str] | None = None
    layers: str | Sequence[str] = ''
    keep: str | Sequence[str] = ()
    keep_parts: Sequence[str] = PARTS
    freeze_norms: bool = True

    @abstractmethod
    def change(self, layer: nn.Module) -> None:
        """Put the transforms on a layer, in place."""

    def error(self, weight: Tensor, read: Tensor) -> tuple[float, float]:
        """Sums of squares: of what is lost of a layer's weights, and of the weights."""
        return float((weight - read).square().sum()), float(weight.square().sum())

    def unfit(self, layer: nn.Module) -> str | None:
        """The reason why a layer cannot be changed, if there is one."""
        return None

    def check(self, where: str) -> None:
        """See `TransformMethod.check`."""
        if self.schedule not in SCHEDULES:
            near = nearest_hint(self.schedule, SCHEDULES)
            raise CompressionError(
                f'{where}.schedule={self.schedule!r} is unknown{near}. There are '
                f' {", ".join(map(repr, SCHEDULES))}'
            )
        if self.blocks is not None and (
            not isinstance(self.blocks, (list, tuple)) or not self.blocks
        ):
            raise CompressionError(
                f'{where}.blocks={self.blocks!r} must be a list of regular expressions, or None '
                "for the detector's own parts"
            )
        for key in ('layers', 'keep', 'blocks'):
            for pattern in _listed(getattr(self, key) or ()):
                check_pattern(pattern, f'{where}.{key}')
        parts = self.keep_parts
        if not isinstance(parts, (list, tuple)):
            raise CompressionError(f'{where}.keep_parts={parts!r} must be a list')
        for part in parts:
            if part not in PARTS:
                raise CompressionError(
                    f'{where}.keep_parts: there is no part {part!r}{nearest_hint(part, PARTS)}. '
                    f'Parts: {", ".join(PARTS)}'
                )
        if not isinstance(self.freeze_norms, bool):
            raise CompressionError(
                f'{where}.freeze_norms={self.freeze_norms!r} must be True or False'
            )
        self._phase(where).check(f'{where}.training')

    def stages(
        self, detector: nn.Module, where: str
    ) -> tuple[list[TransformStage], list[Skipped]]:
        """See `TransformMethod.stages`."""
        order = run_order(detector)
        reasons = full_precision(detector, order, self.keep_parts)
        found = weight_layers(detector)
        for pattern in _listed(self.keep):
            matches = [path for path in found if re.search(pattern, path)]
            if not matches:
                near = nearest_hint(without_escapes(pattern), found)
                raise CompressionError(f'{where}.keep: {pattern!r} matches no layer{near}')
            reasons |= {path: f'named in {where}.keep' for path in matches}
        for path, layer in found.items():
            reason = self.unfit(layer)
            if reason:
                reasons.setdefault(path, reason)
        chosen, skipped = choose_layers(detector, self.layers, reasons, where)
        if self.blocks is None:
            blocks = default_blocks(detector, chosen, order)
        else:
            blocks = blocks_of(self.blocks, chosen, list(found), f'{where}.blocks')
        phase = self._phase(where)
        if self.schedule == 'all_at_once':
            whole = Block('all blocks at once', tuple(chosen))
            stages = [BlockStage(self, whole, phase.times(len(blocks)), where, ())]
        else:
            stages = []
            for number, block in enumerate(blocks):
                above = {path for other in blocks[number + 1 :] for path in other.layers}
                named = Block(f'block {number + 1} of {len(blocks)}: {block.name}', block.layers)
                frozen = []
                if self.schedule == 'greedy':
                    frozen = self._frozen(order, block, above, set(found))
                stages.append(BlockStage(self, named, phase, where, frozen))
        return list(stages), skipped

    def _frozen(
        self, order: RunOrder, block: Block, above: set[str], layers: set[str]
    ) -> list[str]:
        """Paths of the modules that are frozen behind a block.

        They are all that runs before the block's end, layers that are kept at full precision
        included, since the block has learned on what they give; but not predictions, layers of
        blocks to come, and the norms behind these.
        """
        free = above | order.last
        free |= {order.norms[path] for path in free if path in order.norms}
        free |= {path for path in order.modules if path.startswith('rpn_head.')}
        ends = [path for path in block.layers if path in order.modules]
        ends += [order.norms[path] for path in ends if path in order.norms]
        last = max(order.modules.index(path) for path in ends)
        below = [path for path in order.modules[: last + 1] if path not in free]
        return below if self.freeze_norms else [path for path in below if path in layers]

    def _phase(self, where: str) -> PhaseConfig:
        return parse(PhaseConfig, self.training, f'{where}.training')


class BlockStage(TransformStage):
    """A block's weights are changed, trained, and frozen.

    Args:
        method: what changes a layer.
        block: the layers.
        training: behind the change.
        where: the method's config key, for messages.
        frozen: paths of the modules that are not trained any more afterwards.
    """

    def __init__(
        self,
        method: BlockwiseMethod,
        block: Block,
        training: PhaseConfig,
        where: str,
        frozen: Sequence[str],
    ) -> None:
        super().__init__(block.name, block.layers, training)
        self.method = method
        self.where = where
        self.frozen = list(frozen)

    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        """See `TransformStage.begin`; the figure is the relative error of the weights.

        Layers that the detector's own config freezes are counted too: their error stays.
        """
        lost = whole = 0.0
        fixed = 0
        for path in self.layers:
            layer = detector.get_submodule(path)
            if transforms_of(layer):
                raise CompressionError(
                    f'{self.where}: {path} has been changed by a method before '
                    f'({type(transforms_of(layer)[0]).__name__}), and weights of few bits would '
                    'undo that; let the methods change different layers'
                )
            weight = layer.weight.detach().clone()
            fixed += not layer.weight.requires_grad
            self.method.change(layer)
            with torch.no_grad():
                squares = self.method.error(weight, layer.weight)
            lost, whole = lost + squares[0], whole + squares[1]
        figures = {'relative error of the weights': (lost / whole) ** 0.5 if whole else 0.0}
        return {**figures, 'frozen layers (frozen_stages)': fixed} if fixed else figures

    def end(self, detector: nn.Module) -> dict[str, float]:
        """See `TransformStage.end`."""
        for path in self.frozen:
            detector.get_submodule(path).requires_grad_(False)
        return {}


def _listed(patterns: str | Sequence[str]) -> Sequence[str]:
    return [patterns] if isinstance(patterns, str) else patterns
