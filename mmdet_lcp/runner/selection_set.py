"""The images on which channels are scored, and one group's selection problem on them."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.models.utils import unpack_gt_instances
from mmengine import dist
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmdet_lcp.attachments import (
    AuxiliaryNetwork,
    DefaultBoxSampler,
    RoISamples,
    forward_until,
)
from mmdet_lcp.criteria import Objective, SelectionBatch, SelectionProblem
from mmdet_lcp.criteria.problem import BatchCache, Consumer
from mmdet_lcp.runner.config import SelectionConfig
from mmdet_lcp.runner.seeds import derive, seeded
from mmdet_lcp.structure import ChannelGroup, Plan


@dataclass
class SelectionImages:
    """One preprocessed batch.

    Attributes:
        inputs: (N, 3, H, W), normalised, on the detector's device.
        samples: regions for auxiliary networks, or ``None``.
    """

    inputs: Tensor
    samples: RoISamples | None


class SelectionSet:
    """The same training images for every group of a run; each rank holds its share.

    Args:
        batches: this rank's images.
        cache_bytes: feature maps that may be kept; half of them of the original detector, for
            groups to come, and half of the group at hand, for further passes.
    """

    def __init__(self, batches: Sequence[SelectionImages], cache_bytes: int) -> None:
        self.batches = batches
        self.cache_bytes = cache_bytes
        self._targets: list[dict[str, Tensor]] = [{} for _ in batches]
        self._coming: list[str] = []
        self._sizes: dict[str, int] = {}

    @torch.no_grad()
    def expect(self, paths: Sequence[str], dense: nn.Module) -> None:
        """Announce the consumers of all groups, in the order in which groups will come.

        One forward pass of the original detector then serves as many groups as fit into the
        cache, instead of one.
        """
        self._coming = list(dict.fromkeys(paths))
        sample = forward_until(dense, self.batches[0].inputs[:1], self._coming, 'output')
        self._sizes = {path: t.numel() * t.element_size() for path, t in sample.items()}

    def _targets_of(self, number: int, paths: list[str], dense: nn.Module) -> dict[str, Tensor]:
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
            known.update(forward_until(dense, inputs, list(dict.fromkeys(ahead)), 'output'))
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
    ) -> 'SelectionSet':
        """Draw images from the training set, through its own pipeline.

        The same seed gives the same images and augmentations, whatever was drawn before.

        Args:
            dataset: the training set.
            dense: the original detector; its scores choose the hard negatives.
            config: number of images and so on.
            batch_size: used if the config names none.
            seed: the run's seed.
            sampler: chooses regions, or ``None`` without an auxiliary network.
        """
        size = config.batch_size or batch_size
        order = np.random.default_rng(derive(seed, 'selection images')).permutation(len(dataset))
        world = dist.get_world_size()
        count = min(config.num_images, len(order))
        # Every rank gets the same number of images, at least one.
        count = max(world, count - count % world)
        mine = np.resize(order, count)[dist.get_rank() :: world]
        items = []
        for index in mine:
            with seeded(derive(seed, 'augmentation', int(index))):
                items.append(dataset[int(index)])
        batches = []
        for start in range(0, len(items), size):
            data = pseudo_collate(items[start : start + size])
            with torch.no_grad():
                data = dense.data_preprocessor(data, False)
                samples = None
                if sampler is not None:
                    scores = dense.forward(data['inputs'], mode='tensor')[0]
                    instances, ignored, metas = unpack_gt_instances(data['data_samples'])
                    samples = sampler.sample(scores, instances, metas, ignored)
            batches.append(SelectionImages(data['inputs'], samples))
        return cls(batches, int(config.cache_gb * 2**30))

    def problem(
        self,
        group: ChannelGroup,
        dense: nn.Module,
        detector: nn.Module,
        plan: Plan,
        objective: Objective,
        auxiliary: AuxiliaryNetwork | None,
        seed: int,
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
        """
        consumers = {}
        for member in group.consumers:
            module = detector.get_submodule(member.path)
            device = module.weight.device
            original = dense.get_submodule(member.path).weight.shape[1]
            kept = plan.kept(member.path, 'in_channels', original).keep
            now = {channel: position for position, channel in enumerate(kept)}
            consumers[member.path] = Consumer(
                module,
                index=torch.tensor([now[i] for i in member.index], device=device),
                root=torch.tensor(member.root, device=device),
            )
        if auxiliary is not None:
            auxiliary = copy.deepcopy(auxiliary).eval().requires_grad_(False)

        def compute() -> Iterator[SelectionBatch]:
            return self._batches(list(consumers), dense, detector)

        return SelectionProblem(
            name=group.name,
            channels=group.channels,
            consumers=consumers,
            producers={m.path: detector.get_submodule(m.path) for m in group.producers},
            batches=BatchCache(compute, self.cache_bytes // 2),
            objective=objective,
            auxiliary=auxiliary,
            seed=seed,
        )

    @torch.no_grad()
    def _batches(
        self, paths: list[str], dense: nn.Module, detector: nn.Module
    ) -> Iterator[SelectionBatch]:
        training = detector.training
        detector.eval()
        try:
            for number, images in enumerate(self.batches):
                targets = self._targets_of(number, paths, dense)
                inputs = forward_until(detector, images.inputs, paths, 'input')
                yield SelectionBatch(inputs, targets, images.samples)
        finally:
            detector.train(training)
