"""What a user may choose about packing; everything else follows from the weights."""

from dataclasses import dataclass

from torch import Tensor

from mmdet_lcp.errors import CompressionError


@dataclass(frozen=True)
class PackSettings:
    """How to pack. With the last two as they are, every bit comes back.

    Args:
        conv_gap_bits: bits of a gap between two weights that are not zero, 1 to 8, in tensors of
            three and more dimensions.
        fc_gap_bits: the same for tensors of at most two dimensions.
        plain_zeros: write -0.0 as 0.0. A mask that is multiplied with the weights leaves -0.0
            where they were negative, and only 0.0 is left out of a sparse tensor.
        half: write float32 tensors that do not become smaller otherwise (biases, norm statistics,
            weights that share no values) as float16. They come back as float32, rounded; a tensor
            with a value that float16 cannot hold (above 65504) is written as it is.

    Raises:
        CompressionError: a number of bits is out of range.
    """

    conv_gap_bits: int = 8
    fc_gap_bits: int = 5
    plain_zeros: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        for key in ('conv_gap_bits', 'fc_gap_bits'):
            bits = getattr(self, key)
            if not isinstance(bits, int) or not 1 <= bits <= 8:
                raise CompressionError(f'{key}={bits!r}: take a whole number from 1 to 8')

    def gap_bits(self, dimensions: int) -> int:
        """Bits of a gap in a tensor with so many dimensions."""
        return self.conv_gap_bits if dimensions >= 3 else self.fc_gap_bits

    def with_plain_zeros(self, tensor: Tensor) -> Tensor:
        """The tensor with 0.0 for -0.0, if that is wanted."""
        if not self.plain_zeros or not tensor.is_floating_point():
            return tensor
        return tensor.detach().masked_fill(tensor == 0, 0.0)
