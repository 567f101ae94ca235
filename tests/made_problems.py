"""Small selection problems, with everything that a test needs to compute them by hand."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.auxiliary.loss_terms import AuxiliaryTerm
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch


class Quadratic(nn.Module):
    """In the place of an auxiliary network: two smooth losses that read the first output."""

    def __init__(self, cls_weight: float = 1.0, box_weight: float = 1.0) -> None:
        super().__init__()
        self.loss = SimpleNamespace(cls_weight=cls_weight, box_weight=box_weight)

    def forward(self, features, samples):
        return {
            'loss_aux_cls': self.loss.cls_weight * features.sigmoid().mean(),
            'loss_aux_box': self.loss.box_weight
            * (features.flatten(1).mean(1) - 0.3).pow(2).mean(),
        }


@dataclass
class Made:
    """A problem, and its parts as plain tensors: layers by name, one dict a batch."""

    problem: SelectionProblem
    layers: dict[str, nn.Module]
    maps: dict[str, tuple[torch.Tensor, torch.Tensor]]
    inputs: list[dict[str, torch.Tensor]]
    targets: list[dict[str, torch.Tensor]]
    channels: int
    auxiliary: bool = False
    order: list[int] = field(default_factory=list)

    def loss(self, weights, reconstruction=1.0, alpha=1.0, terms=('re', 'cls', 'box')):
        """L written out: per image, averaged over all images."""
        total, images = 0.0, 0
        for inputs, targets in zip(self.inputs, self.targets, strict=True):
            count = len(inputs['conv'])
            outputs = {name: self.run(name, weights[name], x) for name, x in inputs.items()}
            value = 0.0
            if 're' in terms:
                for name, output in outputs.items():
                    for n in range(count):
                        square = (targets[name][n] - output[n]).pow(2).sum()
                        value = value + reconstruction * square / (2 * output[n].numel() * count)
            if self.auxiliary:
                first = outputs['conv']
                if 'cls' in terms:
                    value = value + alpha * torch.sigmoid(first).mean()
                if 'box' in terms:
                    value = value + alpha * (first.mean((1, 2, 3)) - 0.3).pow(2).mean()
            total, images = total + value * count, images + count
        return total / images

    def run(self, name, weight, x):
        layer = self.layers[name]
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding)

    def grad(self, weights, **kwargs):
        leaves = {k: v.detach().clone().requires_grad_(True) for k, v in weights.items()}
        loss = self.loss(leaves, **kwargs)
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }

    def descent(self, weights, channels, lr, passes, momentum=0.9):
        """Nesterov's momentum batch by batch: v = m v + g, W = W - lr (g + m v).

        A pass that ends higher is undone; one in which L of a batch is over twice what it was at
        first is left. Both forget v, and halve lr if that was just forgotten. Passes count if
        they ran to their end and some pass has been kept. Returns the kernels and L behind each
        pass that was kept.
        """
        single = [
            replace(self, inputs=[x], targets=[y])
            for x, y in zip(self.inputs, self.targets, strict=True)
        ]
        best = self.zeroed(weights, channels)
        history = [float(self.loss(best))]
        limits = [2 * float(batch.loss(best)) for batch in single]
        now, speed, left, fresh = best, {}, passes, True
        while left:
            broken_off = False
            for batch, limit in zip(single, limits, strict=True):
                if not float(batch.loss(now)) <= limit:
                    broken_off = True
                    break
                slope = self.zeroed(batch.grad(now), channels)
                speed = {p: momentum * speed.get(p, 0.0) + g for p, g in slope.items()}
                now = {p: now[p] - lr * (g + momentum * speed[p]) for p, g in slope.items()}
            if not broken_off and (loss := float(self.loss(now))) < history[-1]:
                best, fresh = now, False
                history.append(loss)
            else:
                lr = lr / 2 if fresh else lr
                now, speed, fresh = best, {}, True
            left -= not broken_off and len(history) > 1
        return best, history

    def sensitivity(self, weights, **kwargs):
        """S_k by loops: the squares of every kernel that reads channel k."""
        grads = self.grad(weights, **kwargs)
        scores = [0.0] * self.channels
        for name, (index, root) in self.maps.items():
            for i, k in zip(index.tolist(), root.tolist(), strict=True):
                for value in grads[name][:, i].flatten().tolist():
                    scores[k] += value**2
        return scores

    def zeroed(self, weights, channels):
        """Kernels of the group's channels that are not listed at zero, by loops."""
        result = {name: weight.clone() for name, weight in weights.items()}
        for name, (index, root) in self.maps.items():
            for i, k in zip(index.tolist(), root.tolist(), strict=True):
                if k not in channels:
                    result[name][:, i] = 0
        return result


def make(
    sizes=(3, 2),
    auxiliary=None,
    perfect=False,
    limit=2 << 30,
    seed=0,
    dtype=torch.float64,
    **objective,
) -> Made:
    """A group of 5 channels read by two convolutions and a linear layer.

    - ``conv`` reads them as its channels 0..4;
    - ``cat`` as 2..6 behind two channels of another group, in reverse order;
    - ``fc`` behind a flatten of 2x2 pixels: four inputs a channel.
    """
    channels = 5
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    layers = {
        'conv': nn.Conv2d(5, 4, 3, padding=1),
        'cat': nn.Conv2d(7, 3, 2, stride=2),
        'fc': nn.Linear(20, 6),
    }
    for layer in layers.values():
        layer.to(dtype)
        for parameter in layer.parameters():
            parameter.data = randn(*parameter.shape) * 0.5
    maps = {
        'conv': (torch.arange(5), torch.arange(5)),
        'cat': (torch.arange(2, 7), torch.arange(4, -1, -1)),
        'fc': (torch.arange(20), torch.arange(20) // 4),
    }
    scale = torch.linspace(0.5, 1.5, 5, dtype=dtype)
    inputs, targets = [], []
    for size in sizes:
        group = randn(size, 5, 6, 5) * scale.view(1, -1, 1, 1)
        x = {
            'conv': group,
            'cat': torch.cat([randn(size, 2, 6, 5), group.flip(1)], dim=1),
            'fc': group[:, :, 1:3, 2:4].flatten(1),
        }
        y = {name: layers[name](value).detach() for name, value in x.items()}
        if not perfect:
            y = {name: value + 0.5 * randn(*value.shape) for name, value in y.items()}
        inputs.append(x)
        targets.append(y)

    def compute():
        for x, y in zip(inputs, targets, strict=True):
            yield SelectionBatch(dict(x), dict(y), None)

    attached = [] if auxiliary is None else [AuxiliaryTerm(auxiliary)]
    problem = SelectionProblem(
        name='group',
        channels=channels,
        consumers={name: Layer(layers[name], *maps[name]) for name in layers},
        producers={},
        batches=BatchCache(compute, limit),
        terms=Objective(**objective).all_terms(attached),
    )
    return Made(problem, layers, maps, inputs, targets, channels, auxiliary is not None)


@pytest.fixture
def make_problem():
    return make


@pytest.fixture
def quadratic():
    return Quadratic
