"""Where a transform begins: at the kernel that brings the student's map nearest to the teacher's.

A student that has been trained already, a pruned detector above all, has most of what its teacher
has, only elsewhere among its channels; a new one has random features, of which some help. A
transform with random weights would first have to find that out, slowly, since the loss is a mean
over many elements, and would push the student about meanwhile. Least squares finds it at once
[ours].
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.feature_mimic import FeatureMimic
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.mimic_inputs import scaled_batch
from mmdet_lcp.distillation.mimic_teacher import as_maps, run_feature_layers
from mmdet_lcp.least_squares.fit import fit
from mmdet_lcp.least_squares.moments import Moments, patches
from mmdet_lcp.models.feature_transform import FeatureTransform
from mmdet_lcp.selection.images import SelectionImages

POSITIONS = 400  # of each map of each image
MAX_ROWS = 4608  # of the normal equations: a 3x3 kernel on 512 channels


@torch.no_grad()
def fit_transforms(model: MimicDetector, batches: Sequence[SelectionImages]) -> dict[str, float]:
    """Set the convolutions of a model's transforms to the least-squares solution, in place.

    The student runs as in training, with the statistics of each batch where it takes those, and
    is left as it was. The ridge is chosen on held-out images. Convolutions too wide for it are
    solved for their middle tap alone; those behind a deconvolution, whose input means nothing
    yet, stay as they are. On several ranks all images count.

    Args:
        model: student, transforms and teacher.
        batches: this rank's images, preprocessed, in the size that the teacher sees.

    Returns:
        For each bridge, by name, the part of the teacher's variance that is left unexplained.
    """
    mimic = model.mimic
    jobs = {
        number: _Job(transform)
        for number, transform in enumerate(mimic.transforms)
        if transform.kind in ('conv', 'resize')
    }
    if not jobs:
        return {}
    generator = torch.Generator().manual_seed(0)
    seen = 0
    for batch in batches:
        for number, (given, wanted) in _maps(model, batch).items():
            if number in jobs:
                jobs[number].add(given, wanted, seen, generator)
        seen += len(batch.inputs)
    return {str(mimic.bridges[number].student): job.solve() for number, job in jobs.items()}


def _maps(model: MimicDetector, batch: SelectionImages) -> dict[int, tuple[Tensor, Tensor]]:
    """What each transform's convolution reads, and what it should give."""
    mimic: FeatureMimic = model.mimic
    images, samples = scaled_batch(batch.inputs, batch.data_samples, model.image_scale)
    paths = list(dict.fromkeys(bridge.student.path for bridge in mimic.bridges))
    with _as_in_training(model.detector), Taps(model.detector, paths) as taps:
        run_feature_layers(model.detector, images, paths, samples)
    wanted = mimic.teacher.maps(batch.inputs, batch.data_samples)
    found = {}
    for number, (bridge, transform) in enumerate(
        zip(mimic.bridges, mimic.transforms, strict=True)
    ):
        path, index = bridge.student.path, bridge.student.index
        own = as_maps(taps[path], path, 'student')[index]
        target = wanted[bridge.teacher.path][bridge.teacher.index]
        found[number] = (transform.before_conv(own, tuple(target.shape[-2:])), target)
    return found


def unexplained_text(unexplained: dict[str, float]) -> str:
    """What `fit_transforms` returns, for the log."""
    if not unexplained:
        return 'Mimic: no transform to fit'
    shown = ', '.join(f'{name} {value:.1%}' for name, value in unexplained.items())
    return f"Mimic: the fitted transforms leave of the teacher's variance: {shown}"


@contextmanager
def _as_in_training(detector: nn.Module) -> Iterator[None]:
    """Put a detector into training mode for a while; its buffers and modes are as before then."""
    modes = [(module, module.training) for module in detector.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in detector.buffers()]
    detector.train()
    try:
        yield
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)
        for module, mode in modes:
            module.training = mode


class _Job:
    """The normal equations of one transform.

    Args:
        transform: has a convolution.
    """

    def __init__(self, transform: FeatureTransform) -> None:
        self.conv: nn.Conv2d = transform.conv
        weight = self.conv.weight
        self.whole = weight[0].numel() <= MAX_ROWS
        rows = weight[0].numel() if self.whole else weight.size(1)
        # to fit on, and held out
        self.moments = [Moments.zeros(rows, weight.size(0), weight.device) for _ in range(2)]

    def add(self, given: Tensor, wanted: Tensor, seen: int, generator: torch.Generator) -> None:
        """Add some positions of each image of a batch; every fourth image is held out."""
        images, cells = len(given), wanted.shape[-2] * wanted.shape[-1]
        count = min(cells, POSITIONS)
        chosen = torch.stack(
            [torch.randperm(cells, generator=generator)[:count] for _ in range(images)]
        ).to(given.device)
        x = patches(self.conv, given, chosen) if self.whole else _at(given, chosen)
        y = _at(wanted, chosen)
        held = torch.arange(seen, seen + images) % 4 == 3
        for moments, part in zip(self.moments, (~held, held), strict=True):
            if part.any():
                part = part.to(x.device)
                rows = x[part].flatten(0, 1)
                weights = torch.ones(len(rows), dtype=torch.float64, device=rows.device)
                moments.add(rows, y[part].flatten(0, 1), weights)

    def solve(self) -> float:
        """Write the kernel; the unexplained part of the variance."""
        for moments in self.moments:
            moments.all_reduce()
        fitting, held = self.moments
        if float(held.weight) == 0:
            held = fitting
        if float(fitting.weight) == 0:
            fitting = held
        weight = self.conv.weight
        start = torch.zeros(weight.size(0), len(fitting.x), dtype=torch.float64).to(weight.device)
        rows = torch.arange(start.size(1), device=weight.device)
        found = fit((fitting, held), rows, start, 'auto', intercept=True)
        if self.whole:
            weight.copy_(found.kernel.view_as(weight))
        else:
            weight.zero_()
            middle = tuple(side // 2 for side in self.conv.kernel_size)
            weight[:, :, middle[0], middle[1]] = found.kernel.to(weight)
        self.conv.bias.copy_(found.intercept)
        return found.after / max(found.before, torch.finfo(torch.float64).tiny)


def _at(maps: Tensor, chosen: Tensor) -> Tensor:
    """Values (N, P, C) of maps (N, C, H, W) at flattened positions (N, P)."""
    flat = maps.flatten(2)
    return flat.gather(2, chosen[:, None].expand(-1, flat.size(1), -1)).transpose(1, 2)
