"""Which values of a forward pass are still in use when the first of some layers begins.

A module's output can only be read later if somebody still holds it, or if code that will run
again, that of a module which has not ended, has read it. All others are forgotten: the module
gives nan in their place. If these come out in what is asked for, something was read in a way that
nobody saw.
"""

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmdet_lcp.nested import tensors_in, with_tensors

Storage = int


@dataclass
class Given:
    """A run of a module that has ended.

    Attributes:
        value: a copy of what it gave, or nan in its shape.
        given: the tensors that it gave, as long as somebody else holds them.
        versions: theirs when ``value`` was copied.
        storages: theirs.
        forgotten: whether ``value`` is nan.
        written: whether it may be written over by whoever reads it.
    """

    value: Any
    given: list[weakref.ref] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    storages: set[Storage] = field(default_factory=set)
    forgotten: bool = False
    written: bool = True


def size_of(outputs: Mapping[nn.Module, Sequence[Given]]) -> int:
    """Bytes that outputs of modules take."""
    values = (run.value for runs in outputs.values() for run in runs)
    return sum(t.untyped_storage().nbytes() for value in values for t in tensors_in(value))


@contextmanager
def replayed(outputs: Mapping[nn.Module, Sequence[Given]]) -> Iterator[None]:
    """While open, modules give what they have given, and run from the next time on."""
    with ExitStack() as stack:
        for module, runs in outputs.items():
            # An attribute of the object hides its class's method.
            module.forward = partial(_once_more, iter(runs), module.forward)
            stack.callback(delattr, module, 'forward')
        yield


def _once_more(left: Iterator[Given], run: Callable, *args: Any, **kwargs: Any) -> Any:
    for given in left:
        return _copied(given.value) if given.written and not given.forgotten else given.value
    return run(*args, **kwargs)


@dataclass
class _Frame:
    """A module that runs.

    Attributes:
        inputs: tensors that it was given, with their versions then.
        read: storages that its own code has read.
    """

    inputs: list[tuple[Tensor, int]] = field(default_factory=list)
    read: set[Storage] = field(default_factory=set)


class Recorder(TorchFunctionMode):
    """Watches a forward pass until the first of some layers begins.

    Args:
        model: the model, in eval mode; it has to do the same in each forward pass.
        layers: modules of it.
        known: outputs of an earlier pass, if this one has them `replayed`.

    Attributes:
        began: the layers, in the order in which they began, one entry a run.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Collection[nn.Module],
        known: Mapping[nn.Module, Sequence[Given]] | None = None,
    ) -> None:
        super().__init__()
        self.model, self._layers = model, set(layers)
        self._known = known or {}
        self.began: list[nn.Module] = []
        self._held: list[tuple[Given, Tensor, int]] = []
        self._frames = [_Frame()]
        self._ended: dict[nn.Module, list[Given]] = {}
        self._begun, self._looking_away = False, True
        self._hooks = ExitStack()

    def __enter__(self) -> 'Recorder':
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

    def outputs(self) -> dict[nn.Module, list[Given]]:
        """What the pass has left; nothing if it did not get to the layers."""
        return self._ended if self._begun else {}

    def unwritten(self) -> dict[nn.Module, list[Given]]:
        """The same; of what nobody has written over to the end of the pass no copies are given."""
        written = {id(run) for run, tensor, version in self._held if tensor._version != version}
        for run, _, _ in self._held:
            run.written = id(run) in written
        return self.outputs()

    def _hold(self) -> None:
        """Keep what is in use, to see whether it will be written over."""
        for run in self._runs():
            tensors = [ref() for ref in run.given]
            if not run.forgotten and all(tensor is not None for tensor in tensors):
                self._held += zip([run] * len(tensors), tensors, run.versions, strict=True)

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
            if module in self._layers:
                if not self._begun:
                    self._forget()
                    self._hold()
                    self._begun = True
                self.began.append(module)
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
            given = tensors_in(output)
            refs = [weakref.ref(tensor) for tensor in given]
            versions = [tensor._version for tensor in given]
            storages = set(map(_storage, given))
            if len(runs) < len(known):
                before = known[len(runs)]
                runs.append(Given(before.value, refs, versions, storages, before.forgotten))
            else:
                runs.append(Given(_copied(output), refs, versions, storages))
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
            tensor = run.given[0]()
            run.value, run.versions, run.forgotten = _copied(tensor), [tensor._version], False
        return True

    def _runs(self) -> Iterator[Given]:
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


def _copied(value: Any) -> Any:
    """Copies of all tensors in what a module has given."""
    return with_tensors(value, Tensor.clone)


def _emptied(value: Any) -> Any:
    """The same with nan for numbers, which takes no room; other types stay."""
    return with_tensors(value, lambda x: _nan_like(x) if x.is_floating_point() else x)


def _nan_like(tensor: Tensor) -> Tensor:
    return tensor.new_full((), torch.nan).expand(tensor.shape)
