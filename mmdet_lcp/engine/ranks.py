"""Work that one rank does for all of them."""

from collections.abc import Callable
from typing import Any

from mmengine import dist

from mmdet_lcp.errors import CompressionError


def on_main(work: Callable[[], Any]) -> Any:
    """Run ``work`` on rank 0; every rank returns its result, or raises its error.

    Args:
        work: returns something that can be pickled.

    Raises:
        CompressionError: raised by ``work``.
    """
    result: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            result[0] = work()
        except CompressionError as error:
            result[1] = str(error)
    dist.broadcast_object_list(result, src=0)
    if result[1] is not None:
        raise CompressionError(result[1])
    return result[0]
