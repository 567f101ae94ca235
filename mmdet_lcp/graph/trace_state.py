"""What a trace has found so far: labels of tensors, what goes together, channels of every axis.

Kinds of layers and rules of operations write into it; the trace that runs the detector owns it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from mmdet_lcp.graph.labels import channels_along, on_dimension
from mmdet_lcp.graph.ties import Ties
from mmdet_lcp.nested import tensors_in


class TraceState:
    """The findings of one or several forward passes.

    Attributes:
        labels: of each tensor that has some, see `labels`.
        parameters: path of the bare parameter or buffer that a tensor is, or is made of.
        ties: what goes together, and what stays.
        writes: channels of each layer's output axis, by path.
        scales: the same for modules that take each channel by itself, blocks of channels, or none
            at all but count them.
        reads: channels of each layer's input axis, by path; 0 for what nothing has written.
        follows: channels of the input axis of convolutions that lose whole groups, by path.
        grouped: number of groups of each convolution that reads and writes in groups of several
            channels, by path; after `finish`, of those that lose equally many of each group.
        group_counts: numbers of groups that such convolutions have.
        calls: how many times each of these has run, by path, in the first pass that runs it.
        runs: paths of those that have run, of each pass in order.
        stayed: how often something has been found that has to stay.
        order: position of each module's first run, by path.
    """

    def __init__(self) -> None:
        self.labels = WeakTensorKeyDictionary()
        self.parameters = WeakTensorKeyDictionary()
        self.ties = Ties()
        self.writes: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        self.reads: dict[str, Tensor] = {}
        self.follows: dict[str, Tensor] = {}
        self.grouped: dict[str, int] = {}
        self.group_counts: set[int] = set()
        self.calls: dict[str, int] = {}
        self.runs: list[frozenset[str]] = []
        self.stayed = 0
        self.order: dict[str, int] = {}

    def label(self, tensor: Tensor, labels: Tensor) -> None:
        """Give a tensor labels; all zero is as good as none."""
        if labels.any():
            self.labels[tensor] = self.ties.roots(labels)

    def channels(self, tensor: Tensor, dim: int) -> Tensor:
        """The channel of each index of a map's dimension, (shape[dim],); zeros if unknown.

        Elements of one index that belong to different channels are tied.
        """
        return channels_along(self.labels.get(tensor), dim, tensor.shape, self.ties)

    def mark(self, tensor: Tensor, channels: Tensor, dim: int) -> None:
        """Say which channels lie along a map's dimension, (shape[dim],)."""
        self.label(tensor, on_dimension(channels, dim, tensor.dim()))

    def read(self, path: str, channels: Tensor) -> None:
        """Note what a layer reads; in each of its runs the same."""
        known = self.reads.get(path)
        if known is not None:
            self.ties.tie(known, channels)
            half = (known > 0) != (channels > 0)
            self.ties.fix(
                torch.maximum(known, channels)[half],
                f'{path} runs several times, and reads other things than these in their place',
            )
            channels = torch.maximum(known, channels)
        self.reads[path] = channels

    def scale(self, path: str, channels: Tensor) -> None:
        """Note channels that a module takes one by one; in each of its runs the same."""
        known = self.scales.get(path)
        if known is not None:
            self.ties.tie(known, channels)
            channels = torch.maximum(known, channels)
        self.scales[path] = channels

    def write(self, path: str, count: int) -> Tensor:
        """The channels that a layer writes, (count,), the same ones in each of its runs."""
        if path not in self.writes:
            self.writes[path] = self.ties.fresh(count)
        return self.writes[path]

    def stay(self, values: Any, reason: str) -> None:
        """All channels in these tensors have to stay."""
        for leaf in tensors_in(values):
            if leaf in self.labels:
                self.stayed += 1
                self.ties.fix(self.labels[leaf].flatten(), reason)
