"""The runtimes that times are taken in, by name."""

from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure import on_device
from mmdet_lcp.nearest import nearest_hint

TORCH = 'torch'
RUNTIMES = tuple(on_device.ENGINES)


def check_runtime(runtime: Any, key: str) -> None:
    """Refuse a runtime that there is none of.

    Args:
        runtime: its name.
        key: where it stands, for the message.

    Raises:
        CompressionError: it is none of `RUNTIMES`.
    """
    if runtime not in RUNTIMES:
        hint = nearest_hint(str(runtime), RUNTIMES)
        raise CompressionError(
            f'{key}={runtime!r}: there is no such runtime{hint}. Runtimes: {", ".join(RUNTIMES)}'
        )
