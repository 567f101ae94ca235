"""A trace of a detector: forward passes in which every channel is followed by its label.

Layers write, scale and read channels (`layer_kinds`); every other operation moves, mixes or ties
them (`operations`). Torch-Pruning's dependency graph does the like on autograd's graph, but knows
few index maps and takes minutes and tens of gigabytes behind a RoI head's flatten.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_lcp.graph.balance import settle
from mmdet_lcp.graph.layer_kinds import kind_of, layers_of
from mmdet_lcp.graph.operations import apply_rule
from mmdet_lcp.graph.shared_tensors import sharing_one_tensor
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.nested import tensors_in

OUTPUTS = "its channels are the detector's outputs"


class ChannelTrace(TorchDispatchMode, TraceState):
    """Follows labels while it is active; what it finds is in its `TraceState`."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        TraceState.__init__(self)
        self._paused = 0
        self._counts: Counter[str] = Counter()
        self._entered: list[int] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in here: skip the import of the compiler, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and label what it gives."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._paused:
            return out
        tensors = tensors_in((args, kwargs))
        if any(tensor in self.labels for tensor in tensors):
            apply_rule(self, func, args, kwargs, out)
        else:
            own = next((self.parameters[t] for t in tensors if t in self.parameters), None)
            if own is not None:
                for leaf in tensors_in(out):
                    self.parameters[leaf] = own
        return out

    def run(self, detector: nn.Module, forward: Callable[[], Any]) -> None:
        """Follow one forward pass of a detector; it and its outputs' channels stay.

        Further passes add to what the first has found: layers that it did not run, and other ways
        in which layers read what others write. How often a layer runs is as in the first of the
        passes that runs it.

        Args:
            detector: its weights are left as they are; it has to be in the mode that it runs in.
            forward: runs it and returns its outputs.
        """
        paths = {module: path for path, module in detector.named_modules()}
        self.group_counts = {
            count
            for _, module, kind in layers_of(detector)
            if (count := kind.groups(module)) and count < kind.size(module, 'in_channels')
        }
        for module, path in paths.items():
            if kind_of(module) is None:
                named = [*module._parameters.items(), *module._buffers.items()]
                for name, value in named:
                    if value is not None and value.numel() > 1:
                        self.parameters[value] = f'{path}.{name} ({type(module).__name__})'
        self._paused, self._counts, self._entered = 0, Counter(), []
        with ExitStack() as hooks:
            for module, path in paths.items():
                before, after = partial(self._before, path), partial(self._after, path)
                handle = module.register_forward_pre_hook(before)
                hooks.callback(handle.remove)
                handle = module.register_forward_hook(after, with_kwargs=True)
                hooks.callback(handle.remove)
            hooks.enter_context(torch.no_grad())
            try:
                with self:
                    outputs = forward()
            finally:  # of a pass that fails, what it has shown so far
                self.runs.append(frozenset(self._counts))
                for path, count in self._counts.items():
                    self.calls.setdefault(path, count)
        self.stay(tensors_in(outputs), OUTPUTS)

    def finish(self, detector: nn.Module) -> None:
        """Close the trace when all passes have run: what stays whatever runs, what goes whole."""
        for path, reason in sharing_one_tensor(detector).items():
            for channels in (self.writes, self.scales, self.reads):
                if path in channels:
                    self.ties.fix(channels[path], reason)
        settle(self)

    def _before(self, path: str, module: nn.Module, args: tuple) -> None:
        kind = kind_of(module)
        self._entered.append(self.stayed)
        if kind is not None and kind.whole:
            self._paused += 1

    def _after(
        self, path: str, module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any
    ) -> None:
        kind = kind_of(module)
        stayed = self._entered.pop() != self.stayed
        if kind is not None:
            self._paused += not kind.whole
            self.order.setdefault(path, len(self.order))
            self._counts[path] += 1
            source = args[0] if args else next(iter(kwargs.values()), None)
            kind.check_names(module, path)
            kind.trace(self, path, module, source, output)
            self._paused -= 1
        elif not stayed and self._lost((args, kwargs), output):
            name = type(module).__name__
            self.stay((args, kwargs), f'{path} is a {name}, whose computation cannot be followed')

    def _lost(self, inputs: Any, output: Any) -> bool:
        """Whether maps with labels went in and only ones without came out, for no known reason."""
        maps = [leaf for leaf in tensors_in(output) if leaf.is_floating_point()]
        if not maps or any(leaf in self.labels for leaf in maps):
            return False
        return any(leaf in self.labels for leaf in tensors_in(inputs))
