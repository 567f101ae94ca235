"""A forward pass that goes on where the one for the group before began with that group.

Groups come in the order of execution. Pruning one changes what its own layers do, and nothing
before them: of what ran before, the next group's pass needs the values that are still in use when
the first of those layers begins, and no layer has to run again.

Which values these are is found while they are recorded. A module's output can only be read later
if somebody still holds it, or if code that will run again, that of a module which has not ended,
has read it. All others are forgotten: the module gives nan in their place. If these come out in
what is asked for, something was read in a way that nobody saw, and everything runs anew.
"""

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmdet_lcp.detectors.taps import runs_until
from mmdet_lcp.pruning.problem.upstream import copied, tensors_in

Storage = int


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
            recorder = _Recorder(detector, layers, record)
            with record.replayed(), recorder:
                found = runs_until(detector, run, runs, 'input')
            if not any(x.isnan().any() for inputs in found.values() for x in inputs):
                self._keep(number, recorder)
                return found
        recorder = _Recorder(detector, layers)
        with recorder:
            found = runs_until(detector, run, runs, 'input')
        self._keep(number, recorder)
        return found

    def _keep(self, number: int, recorder: '_Recorder') -> None:
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
class _Given:
    """A run of a module that has ended.

    Attributes:
        value: a copy of what it gave, or nan in its shape.
        given: the tensors that it gave, as long as somebody else holds them.
        storages: theirs.
        forgotten: whether ``value`` is nan.
    """

    value: Any
    given: list[weakref.ref]
    storages: set[Storage]
    forgotten: bool = False


@dataclass
class _Record:
    """What a pass has left, and the state of the modules that it stands for.

    Attributes:
        detector: whose pass it was.
        outputs: the first runs of modules, all before the layers began.
        state: their parameters and buffers.
    """

    detector: nn.Module
    outputs: dict[nn.Module, list[_Given]]
    state: list['_Seen']

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        values = (run.value for runs in self.outputs.values() for run in runs)
        return sum(t.untyped_storage().nbytes() for value in values for t in tensors_in(value))

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

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """While open, the modules give what they have given, and run from the next time on."""
        with ExitStack() as stack:
            for module, runs in self.outputs.items():
                # An attribute of the object hides its class's method.
                module.forward = partial(_once_more, iter(runs), module.forward)
                stack.callback(delattr, module, 'forward')
            yield


def _once_more(left: Iterator[_Given], run: Callable, *args: Any, **kwargs: Any) -> Any:
    for given in left:  # what may be read may also be written over
        return given.value if given.forgotten else copied(given.value)
    return run(*args, **kwargs)


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


@dataclass
class _Frame:
    """A module that runs.

    Attributes:
        inputs: tensors that it was given, with their versions then.
        read: storages that its own code has read.
    """

    inputs: list[tuple[Tensor, int]] = field(default_factory=list)
    read: set[Storage] = field(default_factory=set)


class _Recorder(TorchFunctionMode):
    """Watches a forward pass until the first of some layers begins, as `Resumed` needs it."""

    def __init__(
        self, model: nn.Module, layers: Collection[nn.Module], known: _Record | None = None
    ) -> None:
        super().__init__()
        self.model, self._layers = model, set(layers)
        self._known = {} if known is None else known.outputs
        self._frames = [_Frame()]
        self._ended: dict[nn.Module, list[_Given]] = {}
        self._begun, self._looking_away = False, True
        self._hooks = ExitStack()

    def __enter__(self) -> '_Recorder':
        """Place the hooks."""
        for module in self.model.modules():
            for hook in (
                module.register_forward_pre_hook(self._before, with_kwargs=True),
                module.register_forward_hook(self._after, with_kwargs=True),
            ):
                self._hooks.callback(hook.remove)
        super().__enter__()
        self._looking_away = False
        return self

    def __exit__(self, *error: Any) -> None:
        """Remove them."""
        self._looking_away = True
        self._hooks.close()
        super().__exit__(*error)

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call a function of PyTorch; what it reads is noted for the module that calls it."""
        kwargs = kwargs or {}
        if not self._looking_away and function not in _NO_VALUES:
            self._frames[-1].read.update(map(_storage, tensors_in((args, kwargs))))
        return function(*args, **kwargs)

    def outputs(self) -> dict[nn.Module, list[_Given]]:
        """What the pass has left; nothing if it did not get to the layers."""
        return self._ended if self._begun else {}

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """What is done here is not done by the model."""
        before, self._looking_away = self._looking_away, True
        try:
            yield
        finally:
            self._looking_away = before or self._begun

    def _before(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        with self._unseen():
            if module in self._layers and not self._begun:
                self._forget()
                self._begun = True
            if not self._begun:
                inputs = [(tensor, tensor._version) for tensor in tensors_in((args, kwargs))]
                self._frames.append(_Frame(inputs))

    def _after(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        if self._begun:
            return
        with self._unseen():
            frame, around = self._frames.pop(), self._frames[-1]
            changed = [tensor for tensor, version in frame.inputs if tensor._version != version]
            if changed and not self._take_over(changed):
                around.read |= frame.read  # it will run again
                return
            for part in module.modules():
                if part is not module:
                    self._ended.pop(part, None)
            runs = self._ended.setdefault(module, [])
            known = self._known.get(module, [])
            given = list(tensors_in(output))
            refs = [weakref.ref(tensor) for tensor in given]
            storages = set(map(_storage, given))
            if len(runs) < len(known):
                before = known[len(runs)]
                runs.append(_Given(before.value, refs, storages, before.forgotten))
            else:
                runs.append(_Given(copied(output), refs, storages))
            self._forget()

    def _take_over(self, changed: list[Tensor]) -> bool:
        """A module has written over what others gave, as a ReLU does: they give that from now on.

        Returns:
            False if something else was written over, or has been read before.
        """
        read = set().union(*(frame.read for frame in self._frames))
        whose = []
        for tensor in changed:
            owners = [run for run in self._runs() if any(ref() is tensor for ref in run.given)]
            plain = all(isinstance(run.value, Tensor) for run in owners)
            if not owners or not plain or _storage(tensor) in read:
                return False
            whose += owners
        for run in whose:
            run.value, run.forgotten = copied(run.given[0]()), False
        return True

    def _runs(self) -> Iterator[_Given]:
        return (run for runs in self._ended.values() for run in runs)

    def _forget(self) -> None:
        """Let go of what nobody can read any more."""
        read = set().union(*(frame.read for frame in self._frames))
        for run in self._runs():
            held = any(ref() is not None for ref in run.given)
            if not run.forgotten and not held and not run.storages & read:
                run.value, run.forgotten = _emptied(run.value), True


# Functions that tell something of a tensor without its values.
_NO_VALUES = {
    Tensor.size,
    Tensor.dim,
    *(
        getattr(Tensor, name).__get__
        for name in ('shape', 'dtype', 'device', 'ndim', 'is_cuda', 'requires_grad', '_version')
    ),
}


def _storage(tensor: Tensor) -> Storage:
    return tensor.untyped_storage()._cdata


def _emptied(value: Any) -> Any:
    """The same with nan for numbers, which takes no room; other types stay."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.new_full((), torch.nan).expand(value.shape)
    if isinstance(value, (list, tuple)):
        return type(value)(_emptied(item) for item in value)
    if isinstance(value, dict):
        return {key: _emptied(item) for key, item in value.items()}
    return value
