"""The images on which channels are scored, and one group's selection problem on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.detectors.taps import Taps, runs_until
from mmdet_lcp.graph import ChannelGroup, Plan
from mmdet_lcp.graph.regions import images_of
from mmdet_lcp.pruning.problem.build import layers_of, present_metrics, present_outputs
from mmdet_lcp.pruning.problem.loss_sensitivity import LossSensitivity
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.resumed import Resumed
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, Calls, SelectionBatch
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.loss_term import LossTerm
from mmdet_lcp.selection.positions import Positions


class SelectionSet:
    """The same training images for every group of a run; each rank holds its share.

    Args:
        batches: this rank's images.
        cache_bytes: feature maps that may be kept; half of them of the original detector, for
            groups to come, and half of the present one: of the group at hand, for further
            passes, and of what the next group's pass goes on from, a quarter each.
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
        self._sensitivity = LossSensitivity(by_position=self.positions.saliency > 0)
        self._targets: list[Calls] = [{} for _ in batches]
        self._coming: list[str] = []
        self._sizes: dict[str, int] = {}
        self._runs: dict[str, int] = {}
        self.forget()

    def forget(self) -> None:
        """Forget what is kept of a present detector, which will not come again."""
        self._resumed = Resumed(self.cache_bytes // 4)

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

    def _targets_of(self, number: int, paths: list[str], dense: nn.Module, again: bool) -> Calls:
        """Outputs of the original detector on one batch, computed ahead where they fit.

        Those of the group at hand are kept as well if they fit, before others where more passes
        are likely; those of groups that have had their turn are not.
        """
        known = self._targets[number]
        last = max((self._coming.index(p) for p in paths if p in self._coming), default=None)
        coming = self._coming[last + 1 :] if last is not None else []
        for path in known.keys() - {*paths, *coming}:  # of groups that have had their turn
            del known[path]
        if all(path in known for path in paths):
            return {path: known[path] for path in paths}
        images = len(self.batches[number].inputs)
        room = whole = self.cache_bytes / 2 / len(self.batches)
        own = sum(images * self._sizes.get(path, 0) for path in paths)
        room -= own if again and own <= room else 0
        ahead = []
        for path in coming:
            if images * self._sizes[path] > room:
                break
            room -= images * self._sizes[path]
            ahead.append(path)
        known.clear()
        runs = {path: self._runs[path] for path in dict.fromkeys([*paths, *ahead])}
        found = runs_until(dense, lambda: self.batches[number].run(dense), runs)
        kept = own <= (whole if again else room)
        known.update((path, found[path]) for path in [*(paths if kept else ()), *ahead])
        return {path: found[path] for path in paths}

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
        seed: int,
        attached: Sequence[LossTerm] = (),
        needs_metrics: bool = False,
        round_up: Callable[[int], int] = int,
    ) -> SelectionProblem:
        """The selection problem of one group.

        Args:
            group: found on the original detector.
            dense: the original detector, in eval mode.
            detector: the present detector.
            plan: what has been pruned of it so far.
            objective: the loss, and the weights of its terms.
            seed: for criteria that draw at random.
            attached: terms of what has trained along (`Attachment.for_selection`).
            needs_metrics: whether the criterion asks for the gradients of the original
                detector's loss.
            round_up: see `SelectionProblem`.
        """
        consumers, producers, norms = (
            layers_of(members, dense, detector, plan, self._norms)
            for members in (group.consumers, group.producers, group.norms)
        )
        paths = list(consumers)
        self._runs.update({member.path: member.calls for member in group.consumers})
        present = present_outputs(paths, dense, plan)
        members = [member.path for member in group.members]
        metrics = None
        if self.positions.saliency or needs_metrics:
            coming = list(dict.fromkeys([*self._coming, *paths]))  # for all groups to come
            self._sensitivity.measure(dense, self.batches, coming, self._runs)
            metrics = present_metrics(self._sensitivity.metrics, paths, present)
        return SelectionProblem(
            name=group.name,
            channels=group.channels,
            consumers=consumers,
            producers=producers,
            norms=norms,
            batches=BatchCache(
                lambda: self._batches(paths, dense, detector, present, members),
                self.cache_bytes // 4,
                lambda: self._batches(paths, dense, detector, present, members, again=False),
            ),
            terms=objective.all_terms(attached),
            seed=seed,
            positions=self.positions,
            detector=detector,
            images=self.batches,
            metrics=metrics,
            round_up=round_up,
        )

    @torch.no_grad()
    def _batches(
        self,
        paths: list[str],
        dense: nn.Module,
        detector: nn.Module,
        present: Mapping[str, Tensor],
        members: Sequence[str],
        again: bool = True,
    ) -> Iterator[SelectionBatch]:
        training = detector.training
        detector.eval()
        try:
            for number, images in enumerate(self.batches):
                targets = self._targets_of(number, paths, dense, again)
                for path, outputs in present.items():
                    dim = -1 if isinstance(dense.get_submodule(path), nn.Linear) else 1
                    targets[path] = [
                        run.index_select(dim, outputs.to(run.device)) for run in targets[path]
                    ]
                inputs = self._resumed.inputs(
                    number,
                    detector,
                    lambda images=images: images.run(detector),
                    {path: self._runs[path] for path in dict.fromkeys(paths)},
                    members,
                )
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
