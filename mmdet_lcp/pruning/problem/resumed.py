"""A forward pass that goes on where the one for the group before began with that group.

Groups come in the order of execution. Pruning one changes what its own layers do, and nothing
before them: of what ran before, the next group's pass needs the values that are still in use when
the first of those layers begins, and no layer has to run again.

Which values these are is found while they are recorded (`Recorder`). If nan comes out in what is
asked for, everything runs anew.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.detectors.taps import runs_until
from mmdet_lcp.pruning.problem.recorder import Given, Recorder, replayed, size_of


class Resumed:
    """Inputs of layers, batch by batch, for one group after the other.

    Args:
        limit: bytes that may be kept between two groups.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[int, _Record] = {}
        self._seen: dict[int, _Seen] = {}  # by the tensor's id, for all batches

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(record.size for record in self._known.values())

    @torch.no_grad()
    def inputs(
        self,
        number: int,
        detector: nn.Module,
        run: Callable[[], Any],
        runs: Mapping[str, int],
        members: Collection[str],
    ) -> dict[str, list[Tensor]]:
        """What some layers read on a batch; see `runs_until`.

        Args:
            number: of the batch.
            detector: in eval mode; it has to do the same in each forward pass.
            run: runs it on the batch.
            runs: how often each of the layers runs, by path.
            members: paths of all layers that will change before the next group comes.
        """
        record = self._known.pop(number, None)
        layers = [detector.get_submodule(path) for path in {*members, *runs}]
        if record is not None and record.holds(detector, layers):
            recorder = Recorder(detector, layers, record.outputs)
            with replayed(record.outputs), recorder:
                found = runs_until(detector, run, runs, 'input')
            if not any(x.isnan().any() for inputs in found.values() for x in inputs):
                self._keep(number, recorder)
                return found
        recorder = Recorder(detector, layers)
        with recorder:
            found = runs_until(detector, run, runs, 'input')
        self._keep(number, recorder)
        return found

    def _keep(self, number: int, recorder: Recorder) -> None:
        outputs = recorder.outputs()
        if not outputs:
            return
        state = []
        for tensor in _state(outputs):
            seen = self._seen.get(id(tensor))
            if seen is None or seen.tensor is not tensor or not seen.unchanged():
                seen = _Seen(tensor, tensor.detach().clone(), tensor._version)
                self._seen[id(tensor)] = seen
            state.append(seen)
        record = _Record(recorder.model, outputs, state)
        if self.size + record.size <= self._limit:
            self._known[number] = record


@dataclass
class _Record:
    """What a pass has left, and the state of the modules that it stands for.

    Attributes:
        detector: whose pass it was.
        outputs: the first runs of modules, all before the layers began.
        state: their parameters and buffers.
    """

    detector: nn.Module
    outputs: dict[nn.Module, list[Given]]
    state: list['_Seen']

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return size_of(self.outputs)

    def holds(self, detector: nn.Module, layers: Collection[nn.Module]) -> bool:
        """Whether a pass of now may go on from there, to some layers."""
        done = {part for module in self.outputs for part in module.modules()}
        if detector is not self.detector or done & set(layers):
            return False
        now = _state(self.outputs)
        return len(now) == len(self.state) and all(
            tensor is seen.tensor and seen.unchanged()
            for tensor, seen in zip(now, self.state, strict=True)
        )


def _state(modules: Collection[nn.Module]) -> list[Tensor]:
    """Parameters and buffers of modules."""
    return [t for module in modules for t in (*module.parameters(), *module.buffers())]


@dataclass
class _Seen:
    """A parameter or buffer, with the values that it had.

    Attributes:
        tensor: the tensor.
        values: a copy.
        version: of the tensor, when it last had these values.
    """

    tensor: Tensor
    values: Tensor
    version: int

    def unchanged(self) -> bool:
        """Whether it has these values still; where nothing was written to it, that is clear."""
        if self.tensor._version != self.version:
            if not torch.equal(self.tensor, self.values):
                return False
            self.version = self.tensor._version
        return True
