"""What each layer writes in a pass with zeros, and whether it writes the same without them.

Compared where the layers run, long before a detector's post-processing; the first layer that
differs says where the fault lies.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.graph.decisions import Decisions, without_decisions
from mmdet_lcp.graph.layer_kinds import Axis, is_layer, kind_of, layers_of
from mmdet_lcp.graph.passes import Pass
from mmdet_lcp.graph.plan import Plan

# Relative to an output's largest value. What rounding leaves in single precision is far below, a
# wrong channel far above.
TOLERANCE = 1e-2
# Numbers of each channel that are looked at.
_SAMPLES = 64
DIFFERS = 'computes something else than zeros do'


@dataclass
class Notes:
    """What a pass with zeros has shown.

    Attributes:
        layers: path of each layer in the order of the calls, and some numbers of each of the
            channels that stay, (channels, numbers).
        outputs: numbers that the pass has returned.
        decisions: see `Decisions`.
    """

    layers: list[tuple[str, Tensor]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    decisions: list[tuple[str, Any]] = field(default_factory=list)


class Fault(Exception):
    """A pass without channels that goes wrong.

    Args:
        path: of the layer that shows it; empty if none does.
        what: happens.
        axis: of the layer: what it reads is wrong, or it goes wrong with what it has written.
    """

    def __init__(self, path: str, what: str, axis: Axis = 'in_channels') -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.axis = axis


class _Over(BaseException):
    """Leaves a pass behind its last layer; no detector's own handling of errors stops it."""


def note(detector: nn.Module, plan: Plan, each: Pass, image: Tensor) -> Notes:
    """Run a masked detector and note what its layers write in the channels that stay."""
    notes, decisions = Notes(), Decisions()

    def write(path: str, module: nn.Module, output: Tensor) -> None:
        with decisions.aside():
            numbers = _some(module, output)
            kept = plan.kept(path, 'out_channels', len(numbers)).keep
            notes.layers.append((path, numbers[list(kept)]))

    with _watched(detector, write), decisions:
        found = each.run(detector, image)
    notes.outputs = without_decisions(found)
    notes.decisions = decisions.noted
    return notes


def compare(detector: nn.Module, notes: Notes, each: Pass, image: Tensor) -> None:
    """Run a detector without the channels, with the same decisions.

    The prediction ends with its last layer: what comes then is post-processing.

    Raises:
        Fault: it fails, or does not compute what the notes say.
    """
    turn = 0

    def check(path: str, module: nn.Module, output: Tensor) -> None:
        nonlocal turn
        if turn == len(notes.layers) or notes.layers[turn][0] != path:
            raise Fault(path, 'runs other layers than with zeros')
        expected = notes.layers[turn][1]
        with decisions.aside():
            if not _alike(_some(module, output), expected):
                raise Fault(path, DIFFERS)
        turn += 1
        if each.name == 'predict' and turn == len(notes.layers):
            raise _Over

    running: list[str] = []
    decisions = Decisions(notes.decisions)
    try:
        with _watched(detector, check, running), decisions:
            found = without_decisions(each.run(detector, image))
    except Fault:
        raise
    except _Over:
        return
    except Exception as error:  # a forward pass of someone else's may fail in any way
        what = f'fails: {error}'
        if running and is_layer(detector.get_submodule(running[-1])):
            raise Fault(running[-1], what) from error
        last = notes.layers[turn - 1][0] if turn else ''
        raise Fault(last, what, 'out_channels') from error
    for one, two in zip(found, notes.outputs, strict=True):
        if not _alike(one, two):
            raise Fault('', DIFFERS)


def _alike(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    if not expected.numel():
        return True
    scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    # A comparison with nan is false: an untrained detector may overflow, which shows nothing.
    return not (found - expected).abs().max() > TOLERANCE * scale


def _some(module: nn.Module, output: Tensor) -> Tensor:
    """Evenly spread numbers of each channel that a layer has written, (channels, numbers)."""
    dim = kind_of(module).channel_dim(module, output.dim())
    rows = output.detach().movedim(dim, 0).flatten(1)
    return rows[:, :: max(1, rows.shape[1] // _SAMPLES)].clone()


@contextmanager
def _watched(detector: nn.Module, see: Any, running: list[str] | None = None) -> Iterator[None]:
    """Call ``see(path, layer, output)`` behind each layer; keep the paths of what is running."""
    layers = {path for path, _, _ in layers_of(detector)}
    running = [] if running is None else running

    def before(path: str, module: nn.Module, args: tuple) -> None:
        running.append(path)

    def after(path: str, module: nn.Module, args: tuple, output: Any) -> None:
        if path in layers and isinstance(output, Tensor):
            see(path, module, output)
        running.pop()

    with ExitStack() as hooks:
        for path, module in detector.named_modules():
            for handle in (
                module.register_forward_pre_hook(lambda m, a, path=path: before(path, m, a)),
                module.register_forward_hook(lambda m, a, o, path=path: after(path, m, a, o)),
            ):
                hooks.callback(handle.remove)
        yield
