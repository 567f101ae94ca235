"""The images on which channels are scored, and one group's selection problem on them."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.auxiliary.network import AuxiliaryNetwork
from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.detectors.taps import Taps, runs_until
from mmdet_lcp.graph import ChannelGroup, Plan
from mmdet_lcp.graph.groups import Member
from mmdet_lcp.graph.regions import images_of
from mmdet_lcp.graph.surgery import axis_size
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.loss_sensitivity import LossSensitivity
from mmdet_lcp.pruning.problem.problem import Objective, SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, Calls, SelectionBatch
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.positions import Positions


class SelectionSet:
    """The same training images for every group of a run; each rank holds its share.

    Args:
        batches: this rank's images.
        cache_bytes: feature maps that may be kept; half of them of the original detector, for
            groups to come, and half of the group at hand, for further passes.
        positions: where the second moments look.
        norms: path of the batch norm that reads a layer's output directly, by the layer's path.
    """

    def __init__(
        self,
        batches: Sequence[SelectionImages],
        cache_bytes: int,
        positions: Positions | None = None,
        norms: Mapping[str, str] | None = None,
    ) -> None:
        self.batches = batches
        self.cache_bytes = cache_bytes
        self.positions = positions or Positions()
        self._norms = norms or {}
        self._sensitivity = LossSensitivity()
        self._targets: list[Calls] = [{} for _ in batches]
        self._coming: list[str] = []
        self._sizes: dict[str, int] = {}
        self._runs: dict[str, int] = {}

    @torch.no_grad()
    def expect(self, paths: Sequence[str], dense: nn.Module) -> None:
        """Announce the consumers of all groups, in the order in which groups will come.

        One forward pass of the original detector then serves as many groups as fit into the
        cache, instead of one.
        """
        self._coming = list(dict.fromkeys(paths))
        with Taps(dense, self._coming, all_calls=True) as taps:
            self.batches[0].first().run(dense)
        self._sizes = {
            path: sum(run.numel() * run.element_size() for run in runs)
            for path, runs in taps.items()
        }
        self._runs.update({path: len(runs) for path, runs in taps.items()})

    def _tapped(self, number: int, paths: Sequence[str], detector: nn.Module, what: str) -> Calls:
        """Inputs or outputs of modules on one batch, in each of their runs."""
        runs = {path: self._runs[path] for path in dict.fromkeys(paths)}
        return runs_until(detector, lambda: self.batches[number].run(detector), runs, what)

    def _targets_of(self, number: int, paths: list[str], dense: nn.Module) -> Calls:
        """Outputs of the original detector on one batch, computed ahead where they fit."""
        known = self._targets[number]
        if not all(path in known for path in paths):
            inputs = self.batches[number].inputs
            room = self.cache_bytes / 2 / len(self.batches) / len(inputs)
            ahead = list(paths)
            last = max((self._coming.index(p) for p in paths if p in self._coming), default=None)
            for path in self._coming[last + 1 :] if last is not None else []:
                room -= self._sizes[path]
                if room < 0:
                    break
                ahead.append(path)
            known.clear()
            known.update(self._tapped(number, ahead, dense, 'output'))
        return {path: known[path] for path in paths}

    @classmethod
    def draw(
        cls,
        dataset,
        dense: nn.Module,
        config: SelectionConfig,
        batch_size: int,
        seed: int,
        sampler: DefaultBoxSampler | None,
        norms: Mapping[str, str] | None = None,
        skip: int = 0,
    ) -> 'SelectionSet':
        """The set of what `draw_images` draws; see there and `SelectionSet`."""
        batches = draw_images(dataset, dense, config, batch_size, seed, sampler, skip)
        return cls(batches, int(config.cache_gb * 2**30), config.positions, norms)

    def problem(
        self,
        group: ChannelGroup,
        dense: nn.Module,
        detector: nn.Module,
        plan: Plan,
        objective: Objective,
        auxiliary: AuxiliaryNetwork | None,
        seed: int,
        needs_metrics: bool = False,
        attached: Attachment | None = None,
        round_up: Callable[[int], int] = int,
    ) -> SelectionProblem:
        """The selection problem of one group.

        Args:
            group: found on the original detector.
            dense: the original detector, in eval mode.
            detector: the present detector.
            plan: what has been pruned of it so far.
            objective: weights of the loss.
            auxiliary: trained on the first consumer's output, or ``None``.
            seed: for criteria that draw at random.
            needs_metrics: whether the criterion asks for the gradients of the original
                detector's loss.
            attached: trained on layers of the detector, or ``None``.
            round_up: see `SelectionProblem`.
        """

        def layer(member: Member) -> Layer:
            module = detector.get_submodule(member.path)
            device = next(detector.parameters()).device  # some modules have no weight
            original = axis_size(dense.get_submodule(member.path), member.axis, member.path)
            kept = plan.kept(member.path, member.axis, original).keep
            now = {channel: position for position, channel in enumerate(kept)}
            norm = self._norms.get(member.path) if member.axis == 'in_channels' else None
            return Layer(
                module,
                index=torch.tensor([now[i] for i in member.index], device=device),
                root=torch.tensor(member.root, device=device),
                norm=None if norm is None else detector.get_submodule(norm),
            )

        consumers = {member.path: layer(member) for member in group.consumers}
        self._runs.update({member.path: member.calls for member in group.consumers})
        metrics = None
        if self.positions.saliency or needs_metrics:
            paths = list(dict.fromkeys([*self._coming, *consumers]))  # for all groups to come
            self._sensitivity.measure(dense, self.batches, paths, self._runs)
            known = self._sensitivity.metrics
            metrics = {path: known[path] for path in consumers if path in known}
        present = _present_outputs(list(consumers), dense, plan)
        for path, outputs in present.items():
            if metrics and path in metrics:
                outputs = outputs.to(metrics[path].device)
                metrics[path] = metrics[path][outputs][:, outputs]
        auxiliary, attached = (
            None if trained is None else copy.deepcopy(trained).eval().requires_grad_(False)
            for trained in (auxiliary, attached)
        )

        def compute() -> Iterator[SelectionBatch]:
            return self._batches(list(consumers), dense, detector, present)

        return SelectionProblem(
            name=group.name,
            channels=group.channels,
            consumers=consumers,
            producers={m.path: layer(m) for m in group.producers},
            norms={m.path: layer(m) for m in group.norms},
            batches=BatchCache(compute, self.cache_bytes // 2),
            objective=objective,
            auxiliary=auxiliary,
            seed=seed,
            positions=self.positions,
            detector=detector,
            images=self.batches,
            metrics=metrics,
            attached=attached,
            round_up=round_up,
        )

    @torch.no_grad()
    def _batches(
        self,
        paths: list[str],
        dense: nn.Module,
        detector: nn.Module,
        present: Mapping[str, Tensor],
    ) -> Iterator[SelectionBatch]:
        training = detector.training
        detector.eval()
        try:
            for number, images in enumerate(self.batches):
                targets = self._targets_of(number, paths, dense)
                for path, outputs in present.items():
                    dim = -1 if isinstance(dense.get_submodule(path), nn.Linear) else 1
                    targets[path] = [
                        run.index_select(dim, outputs.to(run.device)) for run in targets[path]
                    ]
                inputs = self._tapped(number, paths, detector, 'input')
                squares = self._sensitivity.squares
                yield SelectionBatch(
                    inputs,
                    targets,
                    images.samples,
                    images.boxes or None,
                    tuple(images.inputs.shape[-2:]),
                    None if squares is None else squares[number],
                    images,
                    self._owners(images, inputs),
                )
        finally:
            detector.train(training)

    def _owners(self, images: SelectionImages, inputs: Calls) -> dict[str, list[Tensor | None]]:
        """See `SelectionBatch.owners`."""
        count = len(images.inputs)
        rois = [] if images.regions is None else images.regions.rois
        return {
            path: [None if len(x) == count else images_of(len(x), count, rois) for x in runs]
            for path, runs in inputs.items()
        }


def _present_outputs(paths: Sequence[str], dense: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """Outputs that layers still have, of those that have lost some: indices by path.

    A layer between coupled channels reads a group that comes after the one that it writes.
    """
    found = {}
    for path in paths:
        size = axis_size(dense.get_submodule(path), 'out_channels', path)
        kept = plan.kept(path, 'out_channels', size).keep
        if len(kept) < size:
            found[path] = torch.tensor(kept)
    return found
