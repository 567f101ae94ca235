"""One rank alone; two ranks are in test_distributed.py."""

import pytest

from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError


def test_returns_the_result():
    assert on_main(lambda: [1, 2]) == [1, 2]


def test_raises_the_users_error():
    def work():
        raise CompressionError('mend this')

    with pytest.raises(CompressionError, match='mend this'):
        on_main(work)


def test_other_errors_keep_their_kind():
    with pytest.raises(ZeroDivisionError):
        on_main(lambda: 1 / 0)
