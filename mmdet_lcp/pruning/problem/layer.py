"""A layer of a channel group, as criteria and updates see it."""

from dataclasses import dataclass

from torch import Tensor, nn

from mmdet_lcp.graph.labels import on_dimension
from mmdet_lcp.graph.surgery import axis_size, weight_dim


@dataclass
class Layer:
    """A layer that reads, writes or scales the group's channels.

    Attributes:
        module: convolution, linear layer or, among the group's norms, a module in between.
        index: its channels that belong to the group, as they are numbered now (input channels of
            a consumer, output channels of a producer or norm), ...
        root: ... and the group's channel of each.
        norm: of a consumer, the batch norm that reads its output directly, or ``None``.
    """

    module: nn.Module
    index: Tensor
    root: Tensor
    norm: nn.Module | None = None

    @property
    def intercept(self) -> bool:
        """Whether something can take up a shift of the output: a bias, or the batch norm."""
        return getattr(self.module, 'bias', None) is not None or self.norm is not None

    @property
    def input_dim(self) -> int:
        """The dimension of the weight that counts input channels."""
        return weight_dim(self.module, 'in_channels')

    @property
    def inputs(self) -> int:
        """How many channels the layer reads."""
        return axis_size(self.module, 'in_channels')

    def spread(self, values: Tensor) -> Tensor:
        """One value an input channel, (inputs,), as a factor of the weight: it broadcasts."""
        weight, groups = self.module.weight, getattr(self.module, 'groups', 1)
        if groups == 1:
            return on_dimension(values, self.input_dim, weight.dim())
        rows = values.view(groups, -1).repeat_interleave(len(weight) // groups, 0)
        return rows.view(*rows.shape, *[1] * (weight.dim() - 2))

    def by_input(self, values: Tensor) -> Tensor:
        """Sums of a tensor of the weight's shape over what belongs to each input, (inputs,)."""
        groups = getattr(self.module, 'groups', 1)
        if groups > 1:
            return values.unflatten(0, (groups, -1)).flatten(3).sum((1, 3)).flatten()
        return values.sum([dim for dim in range(values.dim()) if dim != self.input_dim])

    def filters(self, weight: Tensor) -> Tensor:
        """A tensor of the weight's shape with one row an output channel, (out, -1)."""
        return weight.movedim(weight_dim(self.module, 'out_channels'), 0).flatten(1)
