"""Which images channels are scored on, as a config says it."""

from dataclasses import dataclass, field

from mmdet_lcp.config.checks import check_integer, check_not_negative
from mmdet_lcp.config.keys import parse
from mmdet_lcp.selection.positions import Positions

KEY = 'pruning.selection'


@dataclass
class SelectionConfig:
    """The images on which channels are scored.

    Attributes:
        num_images: so many training images, drawn once with the seed, >= 1.
        batch_size: images at once; ``None`` takes the training batch size.
        cache_gb: gigabytes of feature maps that may be kept between passes, >= 0.
        regions: so many proposals an image, the original detector's best, on which the heads of a
            two-stage detector are read, >= 1.
        positions: where on these images least squares looks.
    """

    num_images: int = 64
    batch_size: int | None = None
    cache_gb: float = 2.0
    regions: int = 128
    positions: Positions = field(default_factory=Positions)

    def __post_init__(self) -> None:
        if not isinstance(self.positions, Positions):
            self.positions = parse(Positions, self.positions, f'{KEY}.positions')

    def check(self, where: str) -> None:
        """Raise a CompressionError for a value out of range."""
        for key in ('num_images', 'batch_size', 'regions'):
            value = getattr(self, key)
            if value is not None or key != 'batch_size':
                check_integer(f'{where}.{key}', value, least=1)
        check_not_negative(f'{where}.cache_gb', self.cache_gb)
