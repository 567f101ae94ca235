"""The teacher of mimic: a large detector that looks at the same images and never changes.

It is no `nn.Module`, so that it cannot become part of the student: not of its state dict or its
checkpoints, not of what `DistributedDataParallel` broadcasts, not of the optimizer. It costs one
forward pass of its feature layers, without gradients; nothing where its features are cached.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.mimic_cache import FeatureCache
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.modes import frozen

Maps = dict[str, list[Tensor]]
HEAD = 'bbox_head'
"""Path of a dense head."""


class Teacher:
    """Feature maps of a frozen detector.

    Args:
        detector: the large detector; it is put into eval mode and frozen.
        paths: module paths whose output is asked for: one map, or a tuple of them.
        half: run it in half precision: float16 on a GPU, bfloat16 on a CPU.
        convert: turns the student's preprocessed images into its own; ``None`` if they are.
        cache: keeps the maps of every image; ``None`` for none.

    Attributes:
        images_run: images that it has run on; set it to 0 to count anew.
        images_cached: images whose maps came from the cache; likewise.
    """

    def __init__(
        self,
        detector: nn.Module,
        paths: Sequence[str],
        half: bool = False,
        convert: Callable[[Tensor, Sequence], Tensor] | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self.detector = frozen(detector)
        self.paths = list(dict.fromkeys(paths))
        self.half = half
        self.convert = convert
        self.cache = cache
        self.images_run = self.images_cached = 0
        self._running: tuple[nn.Module, torch.memory_format] | None = None

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        """Itself: copies of a student (an averaged model, say) have the same teacher."""
        return self

    @torch.no_grad()
    def maps(self, images: Tensor, data_samples: Sequence) -> Maps:
        """The maps of a batch.

        Args:
            images: (N, 3, H, W), as the student's data preprocessor gives them.
            data_samples: their mmdet samples.

        Returns:
            For each path its maps (N, C, H, W), in float32.

        Raises:
            CompressionError: a path's output is no map, or an image cannot be told from others.
        """
        if self.cache is None:
            return self._run(images, data_samples)
        keys = [self.cache.key(sample.metainfo) for sample in data_samples]
        found = [self.cache.get(key) for key in keys]
        missing = [number for number, maps in enumerate(found) if maps is None]
        self.images_cached += len(keys) - len(missing)
        if missing:
            fresh = self._run(images[missing], [data_samples[number] for number in missing])
            for row, number in enumerate(missing):
                own = {path: [level[row] for level in maps] for path, maps in fresh.items()}
                self.cache.put(keys[number], own)
                found[number] = own
        return {
            path: [
                torch.stack([maps[path][level].to(images.device) for maps in found])
                for level in range(len(found[0][path]))
            ]
            for path in self.paths
        }

    def _run(self, images: Tensor, data_samples: Sequence) -> Maps:
        self.images_run += len(images)
        device = images.device
        if next(self.detector.parameters()).device != device:
            self.detector.to(device)
            self._running = None
        if self.convert is not None:
            images = self.convert(images, data_samples)
        if self._running is None:
            self._running = self._faster(images, data_samples)
        with self.precision(device):
            return self._maps(images, data_samples, *self._running)

    def _maps(
        self,
        images: Tensor,
        data_samples: Sequence,
        detector: nn.Module,
        layout: torch.memory_format,
    ) -> Maps:
        images = images.contiguous(memory_format=layout)
        with Taps(detector, self.paths) as taps:
            run_feature_layers(detector, images, self.paths, data_samples)
        found = {path: as_maps(taps.get(path), path, 'teacher') for path in self.paths}
        return {path: [level.contiguous() for level in maps] for path, maps in found.items()}

    def _faster(
        self, images: Tensor, data_samples: Sequence
    ) -> tuple[nn.Module, torch.memory_format]:
        """A copy with channels last where convolutions gain by it, if its maps are the same.

        Not every operator minds the strides of what it reads: mmcv's RoIAlign silently takes them
        for contiguous. So this batch is run in both layouts, and the detector itself, which others
        may run as well, keeps its own.
        """
        plain = self.detector, torch.contiguous_format
        if images.device.type != 'cpu' and not self.half:
            return plain
        fast = copy.deepcopy(self.detector).to(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, enabled=False):
            expected = self._maps(images, data_samples, *plain)
            try:
                found = self._maps(images, data_samples, fast, torch.channels_last)
            except RuntimeError:  # a view that these strides do not allow
                return plain
        return (fast, torch.channels_last) if _agree(found, expected) else plain

    def precision(self, device: torch.device) -> torch.autocast:
        """The context that it runs in: half precision, or full whatever is around it."""
        dtype = torch.float16 if device.type == 'cuda' else torch.bfloat16
        return torch.autocast(device.type, dtype=dtype, enabled=self.half)


def run_feature_layers(
    detector: nn.Module, images: Tensor, paths: Sequence[str], data_samples: Sequence
) -> None:
    """Run a detector far enough for some of its modules to have run.

    A dense head that is one of them writes its outputs as its loss reads them: in eval mode some
    (FCOS, VFNet) write boxes in other units, or other outputs. The layers inside keep their mode.

    Args:
        detector: an mmdet detector.
        images: preprocessed images (N, 3, H, W).
        paths: module paths.
        data_samples: mmdet samples of the images; two-stage detectors need them behind the RPN.
    """
    if all(path.split('.')[0] in ('backbone', 'neck') for path in paths):
        detector.extract_feat(images)
    elif type(detector)._forward is SingleStageDetector._forward:
        # its own calls `bbox_head.forward`, which no hook hears
        head = detector.bbox_head
        before = head.training
        head.training = head.training or HEAD in paths
        try:
            head(detector.extract_feat(images))
        finally:
            head.training = before
    else:
        detector(images, list(data_samples), mode='tensor')


def _agree(found: Maps, expected: Maps) -> bool:
    """Whether maps are equal up to rounding."""
    return all(
        torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
        for path, maps in expected.items()
        for one, other in zip(found[path], maps, strict=True)
    )


def as_maps(output: Any, path: str, whose: str) -> list[Tensor]:
    """A module's output as a list of maps in float32 (float64 if they are).

    Args:
        output: what was captured; ``None`` if the module has not run.
        path: of the module, for the message.
        whose: ``'teacher'`` or ``'student'``, likewise.

    Returns:
        The maps; of nested tuples (a dense head's scores and boxes) one after the other.

    Raises:
        CompressionError: it is neither one map (N, C, H, W) nor a tuple of them.
    """
    maps = _flat(output)
    if not maps or not all(isinstance(level, Tensor) and level.dim() == 4 for level in maps):
        raise CompressionError(
            f"mimic.taps: the {whose}'s {path!r} gives no feature maps (N, C, H, W) in a forward "
            'pass, or does not run: name a module that does, such as its neck or a convolution'
        )
    return [level if level.dtype == torch.float64 else level.float() for level in maps]


def places(output: Any) -> list[tuple[int, int]]:
    """For each map of `as_maps`: its index in the innermost tuple, and how many that has."""
    if not isinstance(output, (list, tuple)):
        return [(0, 1)]
    if any(isinstance(item, (list, tuple)) for item in output):
        return [place for item in output for place in places(item)]
    return [(index, len(output)) for index in range(len(output))]


def _flat(output: Any) -> list[Any]:
    if not isinstance(output, (list, tuple)):
        return [output]
    return [level for item in output for level in _flat(item)]
