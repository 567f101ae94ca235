"""What a detector costs at any numbers of channels, without pruning it.

The multiply-accumulates and parameters of a layer's weight are a factor times its input channels
times its output channels, a norm's a factor times its channels. So one count of the dense detector
tells the cost of every pruned one, and what removing a channel saves: it depends on how many
channels the neighbouring groups still have.
"""

import copy
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mmdet_lcp.graph import ChannelGroup, Plan, apply_plan, axis_sizes
from mmdet_lcp.graph.groups import Axis
from mmdet_lcp.graph.layer_kinds import LayerKind, kind_of
from mmdet_lcp.graph.plan import Totals
from mmdet_lcp.measure.cost import count_macs, macs_by_module


@dataclass(frozen=True)
class Width:
    """How many channels one axis of a layer has.

    Attributes:
        fixed: channels that belong to none of the groups.
        parts: (number of a group, channels of this axis for each of the group's channels).
    """

    fixed: float
    parts: tuple[tuple[int, float], ...] = ()

    def at(self, counts: Sequence[int]) -> float:
        """Channels of the axis when the groups have ``counts`` channels."""
        return self.fixed + sum(each * counts[group] for group, each in self.parts)


ONE = Width(1)


@dataclass(frozen=True)
class Term:
    """One summand of a cost: a function of the widths of a layer's two axes.

    Attributes:
        value: cost at (input channels, output channels).
        inputs: width of the input axis; `ONE` where the cost does not follow it.
        outputs: width of the output axis.
        path: of the layer; '' for what belongs to none.
    """

    value: Callable[[float, float], float]
    inputs: Width
    outputs: Width
    path: str = ''

    @property
    def groups(self) -> set[int]:
        """Numbers of the groups that it depends on."""
        return {group for group, _ in (*self.inputs.parts, *self.outputs.parts)}

    def at(self, counts: Sequence[int]) -> float:
        """The cost when the groups have ``counts`` channels."""
        return self.value(self.inputs.at(counts), self.outputs.at(counts))


class CostModel:
    """A constant and terms.

    Args:
        constant: cost of what no group touches.
        terms: the others; those that depend on no group are added to the constant.
        groups: how many groups there are.
    """

    def __init__(self, constant: float, terms: Sequence[Term], groups: int) -> None:
        self.constant = constant + sum(term.at(()) for term in terms if not term.groups)
        self.terms = [term for term in terms if term.groups]
        self._all = list(terms)
        self._touching = [[t for t in self.terms if g in t.groups] for g in range(groups)]

    def total(self, counts: Sequence[int]) -> float:
        """Cost of the detector when the groups have ``counts`` channels."""
        return self.constant + sum(term.at(counts) for term in self.terms)

    def by_layer(self, counts: Sequence[int]) -> dict[str, float]:
        """Cost of each layer by its path, of those too that no group touches.

        What belongs to no layer, such as resizing, is not among them.
        """
        found: dict[str, float] = {}
        for term in self._all:
            if term.path:
                found[term.path] = found.get(term.path, 0.0) + term.at(counts)
        return found

    def change(self, counts: Sequence[int], group: int, count: int) -> float:
        """What the cost changes by when one group has ``count`` channels instead."""
        after = list(counts)
        after[group] = count
        return sum(term.at(after) - term.at(counts) for term in self._touching[group])

    def neighbours(self, group: int) -> set[int]:
        """The group, and those whose channels cost more or less as it shrinks."""
        return {group}.union(*(term.groups for term in self._touching[group]))


def macs_model(
    detector: nn.Module, groups: Sequence[ChannelGroup], image_size: tuple[int, int]
) -> CostModel:
    """Multiply-accumulates, counted as `measure.cost.detector_cost` counts them.

    Of a two-stage detector at the number of proposals that the dense one makes.

    Args:
        detector: the dense detector.
        groups: found on it.
        image_size: (height, width) in pixels.
    """
    count = count_macs(detector, image_size)
    widths = Widths(detector, groups)
    terms: list[Term] = []
    for path, module in _layers(detector):
        kind = kind_of(module)
        if kind is not None and kind.has_kernels and kind.known:
            terms += [
                widths.product(macs, *widths.of_tensor(path, module, name), path)
                for name, macs in count.layers[path].items()
            ]
        elif macs := count.modules.get(path):
            terms.append(widths.product(macs, *widths.of_layer(path, module), path))
    rest = _outside_layers(detector, count.modules)
    for number, each in _channel_costs_outside_layers(detector, groups, image_size, rest).items():
        share = each * groups[number].channels
        terms.append(widths.product(share, ONE, widths.of_group(number)))
        rest -= share
    return CostModel(rest, terms, len(groups))


def params_model(detector: nn.Module, groups: Sequence[ChannelGroup]) -> CostModel:
    """Parameters, shared ones once.

    Args:
        detector: the dense detector.
        groups: found on it.
    """
    widths = Widths(detector, groups)
    terms: list[Term] = []
    seen: set[int] = set()
    for path, module in detector.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                axes = widths.of_tensor(path, module, name)
                terms.append(widths.product(parameter.numel(), *axes, path))
    return CostModel(0, terms, len(groups))


class Widths:
    """The widths of all layers' axes, as the groups decide them.

    Args:
        detector: the dense detector.
        groups: found on it.
    """

    def __init__(self, detector: nn.Module, groups: Sequence[ChannelGroup]) -> None:
        self.dense = [group.channels for group in groups]
        self._scaled = {member.path for group in groups for member in group.norms}
        parts: dict[tuple[str, Axis], list[tuple[int, float]]] = {}
        fixed: dict[tuple[str, Axis], float] = dict(axis_sizes(detector, groups))
        for number, group in enumerate(groups):
            for member in group.members:
                key = (member.path, member.axis)
                each = len(member.index) / group.channels
                parts.setdefault(key, []).append((number, each))
                fixed[key] -= len(member.index)
        self._of = {key: Width(fixed[key], tuple(found)) for key, found in parts.items()}

    def of_group(self, number: int) -> Width:
        """The width of a group itself."""
        return Width(0, ((number, 1),))

    def outputs(self, path: str, module: nn.Module) -> Width:
        """The width of a layer's output."""
        written = self._of.get((path, 'out_channels'))
        return written or Width(kind_of(module).size(module, 'out_channels'))

    def of_layer(self, path: str, module: nn.Module) -> tuple[Width, Width]:
        """Widths of a layer's input and output; `ONE` where its cost does not follow them.

        The cost of a convolution that loses whole groups follows the output alone; of one that
        loses equally many channels of each group it follows both.
        """
        kind = kind_of(module)
        outputs = self._of.get((path, 'out_channels'))
        if kind is None or not kind.has_kernels or self._whole(path, module, kind):
            return ONE, outputs or ONE
        inputs = self._of.get((path, 'in_channels'))
        return (
            inputs or Width(kind.size(module, 'in_channels')),
            outputs or Width(kind.size(module, 'out_channels')),
        )

    def of_tensor(self, path: str, module: nn.Module, name: str) -> tuple[Width, Width]:
        """The same for one of its tensors; `ONE` for an axis that this does not have."""
        kind = kind_of(module)
        dims = kind.tensors.get(name, {}) if kind is not None else {}
        inputs, outputs = self.of_layer(path, module)
        return (
            inputs if 'in_channels' in dims else ONE,
            outputs if 'out_channels' in dims else ONE,
        )

    def _whole(self, path: str, module: nn.Module, kind: LayerKind) -> bool:
        """Whether a layer can only lose whole groups."""
        written, read = (path, 'out_channels') in self._of, (path, 'in_channels') in self._of
        touched = written or read
        return kind.groups(module) is not None and (path in self._scaled or not touched)

    def product(self, cost: float, inputs: Width, outputs: Width, path: str = '') -> Term:
        """A cost that grows with both widths, from what a layer's is in the dense detector."""
        factor = cost / (inputs.at(self.dense) * outputs.at(self.dense))
        return Term(lambda ins, outs: factor * ins * outs, inputs, outputs, path)


def first_channels(
    detector: nn.Module, groups: Sequence[ChannelGroup], counts: Sequence[int]
) -> nn.Module:
    """A copy of a detector in which the first ``counts`` channels of each group stay."""
    plan = _first_channels_plan(groups, counts, axis_sizes(detector, groups))
    return apply_plan(copy.deepcopy(detector), plan)


def _first_channels_plan(
    groups: Sequence[ChannelGroup], counts: Sequence[int], totals: Totals
) -> Plan:
    plan = Plan()
    for group, count in zip(groups, counts, strict=True):
        if count < group.channels:
            plan = plan.remove(group, range(count, group.channels), totals)
    return plan


def _layers(detector: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers whose operations are their own alone: what has weights and no children.

    And layers with kernels, whatever is inside; of known ones that belongs to them.
    """
    inside: str | None = None
    for path, module in detector.named_modules():
        if inside is not None and path.startswith(inside):
            continue
        kind = kind_of(module)
        kernels = kind is not None and kind.has_kernels
        if kernels and kind.known:
            inside = f'{path}.'
        alone = not list(module.children()) and bool(module.state_dict(keep_vars=True))
        if alone or kernels:
            yield path, module


def _outside_layers(detector: nn.Module, counted: Mapping[str, int]) -> int:
    """Multiply-accumulates of what has no weights: resizing, pooling, attention."""
    return counted[''] - sum(counted.get(path, 0) for path, _ in _layers(detector))


def _outside_layers_by_module(detector: nn.Module, counted: Mapping[str, int]) -> Counter[str]:
    """The same, by the module whose forward pass does it; what its children do is theirs."""
    layers = {path for path, _ in _layers(detector)}
    found: Counter[str] = Counter()

    def walk(path: str, module: nn.Module) -> None:
        if path in layers:
            return
        children = {f'{path}.{name}'.lstrip('.'): m for name, m in module.named_children()}
        found[path] = counted.get(path, 0) - sum(counted.get(child, 0) for child in children)
        for child, inner in children.items():
            walk(child, inner)

    walk('', detector)
    return found


def _channel_costs_outside_layers(
    detector: nn.Module,
    groups: Sequence[ChannelGroup],
    image_size: tuple[int, int],
    rest: int,
) -> dict[int, float]:
    """What one channel of a group costs in operations without weights, by the group's number.

    Pruned copies tell. One in which all groups are half as wide says in which modules this changes
    anything; often in none. One for each binary digit of the groups' numbers, in which those with
    that digit are half as wide, then spells the number of the group that a module works on. Where
    a module works on several (a neck adds its levels up), halves of the groups are tried, and so
    on. The copies are of a very small detector, with four channels of each group: what is counted
    is linear in the channels.

    Args:
        detector: the dense detector.
        groups: found on it.
        image_size: (height, width) in pixels.
        rest: multiply-accumulates outside of its layers.
    """
    if not rest or not groups:
        return {}
    totals = axis_sizes(detector, groups)
    small = [min(group.channels, 4) for group in groups]
    done = _first_channels_plan(groups, small, totals)
    start = apply_plan(copy.deepcopy(detector), done)
    before = _outside_layers_by_module(start, macs_by_module(start, image_size))

    def saved(halved: Container[int]) -> Counter[str]:
        """By module, with these groups half as wide."""
        counts = [-(-n // 2) if number in halved else n for number, n in enumerate(small)]
        plan = _first_channels_plan(groups, counts, totals)
        pruned = apply_plan(copy.deepcopy(start), plan, done=done)
        after = _outside_layers_by_module(pruned, macs_by_module(pruned, image_size))
        return Counter({path: own - after[path] for path, own in before.items()})

    numbers = range(len(groups))
    found: Counter[int] = Counter()
    everything = {path: all_of_it for path, all_of_it in saved(numbers).items() if all_of_it}
    digits = range((len(groups) - 1).bit_length()) if everything else ()
    spelt = [saved([number for number in numbers if number >> digit & 1]) for digit in digits]
    several = []
    for path, all_of_it in everything.items():
        own = [part[path] for part in spelt]
        number = sum(1 << digit for digit in digits if own[digit])
        if set(own) <= {0, all_of_it} and number in numbers:
            found[number] += all_of_it
        else:
            several.append(path)

    def search(some: Sequence[int], amount: int) -> None:
        if not amount:
            return
        if len(some) == 1:
            found[some[0]] += amount
            return
        for part in (some[: len(some) // 2], some[len(some) // 2 :]):
            own = saved(part)
            search(part, sum(own[path] for path in several))

    search(numbers, sum(everything[path] for path in several))
    halves = [-(-n // 2) for n in small]
    return {n: amount / (small[n] - halves[n]) for n, amount in found.items() if amount}
