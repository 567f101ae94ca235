"""A channel group becomes a selection problem: its layers and metrics as they are now.

The group was found on the original detector. By the time its turn comes, the present detector has
lost channels of other groups: indices, outputs and metrics follow.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmdet_lcp.graph import Plan
from mmdet_lcp.graph.groups import Member
from mmdet_lcp.graph.surgery import axis_size
from mmdet_lcp.pruning.problem.layer import Layer


def layers_of(
    members: Iterable[Member],
    dense: nn.Module,
    detector: nn.Module,
    plan: Plan,
    norms: Mapping[str, str],
) -> dict[str, Layer]:
    """Layers of a group in the present detector, by path.

    Args:
        members: of the group, all in one role.
        dense: the original detector, which the group was found on.
        detector: the present one.
        plan: what has been pruned of it so far.
        norms: path of the batch norm that reads a layer's output directly, by the layer's path.
    """
    device = next(detector.parameters()).device  # some modules have no weight
    layers = {}
    for member in members:
        original = axis_size(dense.get_submodule(member.path), member.axis, member.path)
        kept = plan.kept(member.path, member.axis, original).keep
        now = {channel: position for position, channel in enumerate(kept)}
        norm = norms.get(member.path) if member.axis == 'in_channels' else None
        layers[member.path] = Layer(
            detector.get_submodule(member.path),
            index=torch.tensor([now[i] for i in member.index], device=device),
            root=torch.tensor(member.root, device=device),
            norm=None if norm is None else detector.get_submodule(norm),
        )
    return layers


def present_outputs(paths: Iterable[str], dense: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """Outputs that layers still have, of those that have lost some: indices by path.

    A layer between coupled channels reads a group that comes after the one that it writes.

    Args:
        paths: of the layers.
        dense: the original detector.
        plan: what has been pruned so far.
    """
    found = {}
    for path in paths:
        size = axis_size(dense.get_submodule(path), 'out_channels', path)
        kept = plan.kept(path, 'out_channels', size).keep
        if len(kept) < size:
            found[path] = torch.tensor(kept)
    return found


def present_metrics(
    metrics: Mapping[str, Tensor], paths: Iterable[str], outputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Metrics of some layers on the outputs that they still have.

    Args:
        metrics: E[g g'] on all outputs of the original detector's layers, (out, out) by path.
        paths: of the layers; one without a metric has none.
        outputs: by `present_outputs`.
    """
    found = {path: metrics[path] for path in paths if path in metrics}
    for path, metric in found.items():
        if path in outputs:
            kept = outputs[path].to(metric.device)
            found[path] = metric[kept][:, kept]
    return found
