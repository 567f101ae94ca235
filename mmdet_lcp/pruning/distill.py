"""Fine-tuning of what pruning has left on the outputs of the dense detector, without labels."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.config.checks import check_integer, check_positive
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses.output_distillation import OutputPart, output_distillation_loss
from mmdet_lcp.modes import in_eval
from mmdet_lcp.report.tables import format_seconds
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.head_outputs import output_parts
from mmdet_lcp.selection.images import SelectionImages

_INTERVAL = 50  # iterations between two lines and two states, the same on all ranks


@dataclass
class DistillConfig:
    """Fine-tuning on the dense detector's outputs, right after the last group is pruned.

    It reads training images without their annotations: what classes, boxes and so on the
    dense detector tells for them. Batch norms keep their running statistics.

    Attributes:
        max_iters: its length in iterations, >= 1, each on one batch; with several ranks on one of
            each rank.
        lr: learning rate of Adam at the beginning, > 0; it falls along a cosine to a hundredth.
        num_images: so many training images, drawn once with the seed and kept in memory, >= 1:
            the selection images and more of them, or the selection images where those are more.
    """

    max_iters: int = 300
    lr: float = 1e-3
    num_images: int = 256

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        check_integer(f'{where}.max_iters', self.max_iters, least=1)
        check_positive(f'{where}.lr', self.lr)
        check_integer(f'{where}.num_images', self.num_images, least=1)


class Teacher:
    """What the dense detector tells for each batch, kept as far as there is room.

    Args:
        dense: the detector before pruning.
        batches: this rank's images.
        cache_bytes: that may be kept.
    """

    def __init__(
        self, dense: nn.Module, batches: Sequence[SelectionImages], cache_bytes: int
    ) -> None:
        self.dense, self.batches = dense, batches
        self._room = cache_bytes
        self._kept: dict[int, list[OutputPart]] = {}

    @torch.no_grad()
    def __call__(self, number: int) -> list[OutputPart]:
        """Of a batch."""
        known = self._kept.get(number)
        if known is not None:
            return known
        with in_eval(self.dense):
            parts = output_parts(self.dense, self.batches[number].run(self.dense))
        size = sum(t.numel() * t.element_size() for part in parts for t in _tensors(part))
        if size <= self._room:
            self._room -= size
            self._kept[number] = parts
        return parts


def distill(
    detector: nn.Module,
    dense: nn.Module,
    batches: Sequence[SelectionImages],
    config: DistillConfig,
    seed: int,
    cache_bytes: int = 2 << 30,
    tell: Callable[[str], None] = lambda line: None,
    saved: Mapping[str, Any] | None = None,
    save: Callable[[Mapping[str, Any]], None] = lambda data: None,
) -> dict[str, float]:
    """Train a pruned detector, in place, to write what the dense one writes.

    See `output_distillation_loss`. Weights that do not require gradients stay as they are. The
    detector keeps what it had if that is nearer to the dense one in the end.

    Args:
        detector: the pruned detector.
        dense: the detector before pruning.
        batches: this rank's images, at least one.
        config: how long, and at which rate.
        seed: of the order of the batches.
        cache_bytes: that the dense detector's outputs may take.
        tell: takes lines about the progress.
        saved: what `save` took in an earlier process, to go on from there.
        save: takes what a later process needs, every so many iterations.

    Returns:
        The mean loss on these images before and after.

    Raises:
        CompressionError: nothing can be trained, or the loss is not finite.
    """
    weights = [p for p in detector.parameters() if p.requires_grad]
    if not weights:
        raise CompressionError('distill: no weight of the pruned detector requires a gradient')
    teacher = Teacher(dense, batches, cache_bytes)
    copy = detached_copy(detector)
    optimizer = torch.optim.Adam(weights, lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, config.max_iters, eta_min=config.lr / 100
    )
    parts = dict(detector=detector, optimizer=optimizer, schedule=schedule)
    with in_eval(detector), torch.enable_grad():
        first, before = 0, math.nan
        if saved is None:
            before = _mean_loss(detector, teacher, batches)
            tell(f'Distilling from the dense detector: loss {before:.4g}')
        else:
            first, before = saved['done'], saved['before']
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            tell(f'Distilling goes on after {first} of {config.max_iters} iterations')
        began = time.monotonic()
        for done, number in enumerate(_order(len(batches), config.max_iters, seed)):
            if done < first:
                continue
            optimizer.zero_grad()
            loss = _loss(detector, teacher, number)
            _check(loss, config)
            loss.backward()
            _average(weights)
            optimizer.step()
            schedule.step()
            if (done + 1) % _INTERVAL == 0 and done + 1 < config.max_iters:
                pace = (time.monotonic() - began) / (done + 1 - first)
                left = pace * (config.max_iters - done - 1)
                tell(
                    f'Distilling: {done + 1}/{config.max_iters}, loss {float(loss.detach()):.4g}, '
                    f'about {format_seconds(left)} left'
                )
                states = {name: part.state_dict() for name, part in parts.items()}
                save(dict(states, done=done + 1, before=before))
        optimizer.zero_grad()
        after = _mean_loss(detector, teacher, batches)
    text = f'Distilled from the dense detector: loss_before {before:.3g}, loss_after {after:.3g}'
    if not after < before:
        detector.load_state_dict(copy.state_dict())
        text += '; the weights are those from before'
    tell(text)
    return {'loss_before': before, 'loss_after': after}


def distance(detector: nn.Module, dense: nn.Module, batches: Sequence[SelectionImages]) -> float:
    """How far a pruned detector's outputs are from the dense one's; the same on every rank.

    The loss that `distill` lowers, in eval mode.

    Args:
        detector: the pruned detector.
        dense: the detector before pruning.
        batches: this rank's images, at least one.
    """
    with in_eval(detector):
        return _mean_loss(detector, Teacher(dense, batches, 0), batches)


def _loss(detector: nn.Module, teacher: Teacher, number: int) -> Tensor:
    own = output_parts(detector, teacher.batches[number].run(detector))
    return output_distillation_loss(teacher(number), own)


@torch.no_grad()
def _mean_loss(detector: nn.Module, teacher: Teacher, batches: Sequence[SelectionImages]) -> float:
    """Over the batches of all ranks."""
    losses = [float(_loss(detector, teacher, number)) for number in range(len(batches))]
    mean = torch.tensor(sum(losses) / len(losses), dtype=torch.float64)
    dist.all_reduce(mean, 'mean')
    return float(mean)


def _order(batches: int, count: int, seed: int) -> list[int]:
    """Numbers of batches: all of them in a new order, again and again."""
    generator = torch.Generator().manual_seed(derive(seed, 'distill'))
    passes = [torch.randperm(batches, generator=generator) for _ in range(-(-count // batches))]
    return torch.cat(passes)[:count].tolist()


def _check(loss: Tensor, config: DistillConfig) -> None:
    if not loss.requires_grad:
        raise CompressionError(
            'distill: no output of the pruned detector follows a weight that requires a gradient'
        )
    if not math.isfinite(float(loss.detach())):
        raise CompressionError(
            f'distill: the loss is {float(loss.detach())} at distill.lr={config.lr!r}; take a '
            'lower rate'
        )


def _average(weights: Sequence[Tensor]) -> None:
    """The mean gradient of all ranks."""
    if dist.get_world_size() > 1:
        for weight in weights:
            if weight.grad is None:  # no output of this batch came from it
                weight.grad = torch.zeros_like(weight)
            dist.all_reduce(weight.grad, 'mean')


def _tensors(part: OutputPart) -> list[Tensor]:
    return [*([] if part.scores is None else [part.scores]), *part.values]
