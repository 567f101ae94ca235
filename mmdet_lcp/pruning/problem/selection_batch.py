"""What one batch of selection images gives for one group, and a cache of such batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from mmengine import dist
from torch import Tensor

from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.pruning.problem.replaced_kernels import Shortcut
from mmdet_lcp.selection.images import SelectionImages

# One entry a run of the layer: a head that is shared by five levels runs five times.
Calls = dict[str, list[Tensor]]


@dataclass
class SelectionBatch:
    """What one batch of images gives for one group.

    Attributes:
        inputs: what each consumer reads in the present detector, by path, one entry a run:
            (N, C, H, W); a single tensor stands for one run.
        targets: what it writes in the original detector, (N, C', H', W').
        samples: regions for the auxiliary network, or ``None`` without one.
        boxes: the objects of each image, (G, 4) as (x1, y1, x2, y2) in pixels of the batch image.
        img_shape: (height, width) of the batch image in pixels.
        sensitivity: squared gradient of the original detector's loss at each output position,
            summed over channels, (N, H' * W') by path, one entry a run; empty for a layer whose
            runs do not correspond, ``None`` unless asked for.
        images: the images themselves, for losses that run the detector.
        owners: the image in the batch that each item belongs to, (N,) by path, one entry a run;
            ``None`` in the place of one whose items are the images themselves.
        shortcut: what need not run again, for losses that run the detector; ``None`` until it is
            known, empty where there is no room for it.
        looked_at: what each consumer was last run on, by path: which of its input channels, and
            these, one entry a run; as far as there is room for it.
    """

    inputs: Calls
    targets: Calls
    samples: RoISamples | None
    boxes: list[Tensor] | None = None
    img_shape: tuple[int, int] = (0, 0)
    sensitivity: Calls | None = None
    images: SelectionImages | None = None
    owners: dict[str, list[Tensor | None]] = field(default_factory=dict)
    shortcut: Shortcut | None = None
    looked_at: dict[str, tuple[Tensor | None, list[Tensor]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs, self.targets = (
            {path: [runs] if isinstance(runs, Tensor) else list(runs) for path, runs in c.items()}
            for c in (self.inputs, self.targets)
        )

    @property
    def num_images(self) -> int:
        """Images in the batch."""
        if self.images is not None:
            return len(self.images.inputs)
        return len(next(iter(self.inputs.values()))[0] if self.boxes is None else self.boxes)

    def numbers(self, before: int) -> Tensor:
        """Numbers of its images over all ranks, (N,).

        Args:
            before: images of this rank before this batch; used where nobody has counted: then
                the images are taken for dealt out to the ranks one by one.
        """
        if self.images is not None and self.images.numbers is not None:
            return torch.tensor(self.images.numbers)
        own = torch.arange(before, before + self.num_images)
        return dist.get_rank() + dist.get_world_size() * own

    def owner(self, path: str, run: int) -> Tensor | None:
        """See `owners`."""
        runs = self.owners.get(path)
        return None if runs is None else runs[run]

    def shares(self, path: str) -> list[float]:
        """Each run's share of a layer's outputs; they add up to 1."""
        return shares_of_runs(self.targets[path])

    def tensors(self) -> Iterator[Tensor]:
        """All large tensors."""
        for calls in (self.inputs, self.targets):
            for runs in calls.values():
                yield from runs


def channels_together(values: Tensor) -> Tensor:
    """Maps laid out so that PyTorch's operators on a CPU are fast: channels last.

    Pooling is, and so are convolutions of few channels or of an odd number. Others stay as they
    are: half precision is slower so, and a GPU has layouts of its own.
    """
    if values.dim() == 4 and values.dtype == torch.float32 and values.device.type == 'cpu':
        return values.contiguous(memory_format=torch.channels_last)
    return values


def shares_of_runs(outputs: Sequence[Tensor]) -> list[float]:
    """Each run's share of what a layer writes in all its runs; they add up to 1."""
    counts = [output.numel() for output in outputs]
    return [count / sum(counts) for count in counts]


class BatchCache:
    """Batches that are computed on the first pass and kept as long as they fit.

    Args:
        compute: yields the batches anew, the same ones each time.
        limit: bytes that may be kept; a larger selection set is computed again on each pass.
        compute_once: the same for a pass that will likely be the only one.
    """

    def __init__(
        self,
        compute: Callable[[], Iterable[SelectionBatch]],
        limit: int = 2 << 30,
        compute_once: Callable[[], Iterable[SelectionBatch]] | None = None,
    ) -> None:
        self._compute, self._limit = compute, limit
        self._compute_once = compute_once or compute
        self._kept: list[SelectionBatch] | None = None
        self._size = 0

    def clear(self) -> None:
        """Forget the batches: the detector before the consumers has changed."""
        self._kept = None

    def room_for(self, size: int) -> bool:
        """Whether so many bytes more may be kept with the batches; if so, they are booked."""
        if self._kept is None or self._size + size > self._limit:
            return False
        self._size += size
        return True

    def once(self) -> Iterator[SelectionBatch]:
        """One pass, for someone who will not ask again: what is not kept yet is not kept."""
        yield from self._compute_once() if self._kept is None else self._kept

    def __iter__(self) -> Iterator[SelectionBatch]:
        """One pass over all batches of this rank."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[SelectionBatch] | None = []
        size = 0
        for batch in self._compute():
            size += sum(tensor.numel() * tensor.element_size() for tensor in batch.tensors())
            if size > self._limit:
                kept = None
            if kept is not None:
                kept.append(batch)
            yield batch
        self._kept, self._size = kept, size
