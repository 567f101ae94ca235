"""mmdet: losses that are divided by a mean over ranks, taken on one rank alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from mmdet.utils import reduce_mean

_ALONE = SimpleNamespace(is_available=lambda: False, is_initialized=lambda: False)


@contextmanager
def this_rank_alone() -> Iterator[None]:
    """`reduce_mean` gives back what it is given, for a while.

    Most heads of mmdet divide their loss by the mean over ranks of the number of positive
    samples. In training the ranks' gradients are averaged, and that mean is right. A criterion
    adds up what single batches say: there the loss of a batch must not depend on the batches that
    other ranks happen to hold, or on whether they hold any.

    The heads have imported the function by name, so that it is the function's own view of
    torch.distributed that changes.
    """
    module = sys.modules[reduce_mean.__module__]
    before = module.dist
    module.dist = _ALONE
    try:
        yield
    finally:
        module.dist = before
