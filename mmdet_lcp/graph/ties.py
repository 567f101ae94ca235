"""Ties between channels: which can only go together, and which cannot go at all.

A channel is a number above 0; 0 stands for what no layer has written, such as the image. Ties
are kept as disjoint sets (Galler and Fischer, Communications of the ACM, 1964).
"""

import numpy as np
import torch
from torch import Tensor


class Ties:
    """Disjoint sets of channels, with the reasons why some of them have to stay."""

    def __init__(self) -> None:
        self._parent = np.zeros(1, dtype=np.int64)
        self._reasons: dict[int, list[str]] = {}

    def copy(self) -> 'Ties':
        """The same ties, to try out more of them."""
        other = Ties()
        other._parent = self._parent.copy()
        other._reasons = {channel: list(reasons) for channel, reasons in self._reasons.items()}
        return other

    def fresh(self, count: int) -> Tensor:
        """New channels, tied to nothing: (count,), int64."""
        first = len(self._parent)
        self._parent = np.concatenate([self._parent, np.arange(first, first + count)])
        return torch.arange(first, first + count)

    def roots(self, channels: Tensor) -> Tensor:
        """For each channel the one that stands for its whole set; the same shape."""
        asked = channels.contiguous().numpy()
        found = self._parent[asked]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[asked] = found
        return torch.from_numpy(np.asarray(found))  # of no dimensions it is a number

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Tie channels pair by pair, (n,) and (n,); a pair with 0 in it ties nothing."""
        pairs = self.roots(torch.stack([first, second]))
        pairs = pairs[:, (pairs > 0).all(0) & (pairs[0] != pairs[1])]
        for a, b in pairs.unique(dim=1).T.tolist():
            self._join(self._find(a), self._find(b))

    def fix(self, channels: Tensor, reason: str) -> None:
        """Say why these channels have to stay; of 0 nothing is said."""
        roots = self.roots(channels[channels > 0])
        for root in roots.unique().tolist():
            reasons = self._reasons.setdefault(root, [])
            if reason not in reasons:
                reasons.append(reason)

    def reasons(self, channel: int) -> tuple[str, ...]:
        """Why a channel has to stay; empty if it may go."""
        return tuple(self._reasons.get(self._find(channel), ()))

    def _find(self, channel: int) -> int:
        while self._parent[channel] != channel:
            channel = int(self._parent[channel])
        return channel

    def _join(self, a: int, b: int) -> None:
        if a == b:
            return
        low, high = min(a, b), max(a, b)
        self._parent[high] = low
        for reason in self._reasons.pop(high, ()):
            own = self._reasons.setdefault(low, [])
            if reason not in own:
                own.append(reason)
