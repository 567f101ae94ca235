import math

import pytest

from mmdet_lcp.config.checks import check_integer, check_not_negative, check_positive
from mmdet_lcp.errors import CompressionError


@pytest.mark.parametrize('value', [0, -1, 1.0, True, '3', None])
def test_integer_refuses(value):
    with pytest.raises(CompressionError, match=r'pruning\.key='):
        check_integer('pruning.key', value, least=1)


@pytest.mark.parametrize('value', [0, -1.0, math.nan, math.inf, '1', None, True])
def test_positive_refuses(value):
    with pytest.raises(CompressionError, match=r'pruning\.key='):
        check_positive('pruning.key', value)


@pytest.mark.parametrize('value', [-1e-9, math.nan, math.inf, '1', None, True])
def test_not_negative_refuses(value):
    with pytest.raises(CompressionError, match=r'pruning\.key='):
        check_not_negative('pruning.key', value)


def test_good_values_pass():
    check_integer('key', 1, least=1)
    check_positive('key', 1e-9)
    check_positive('key', 3)
    check_not_negative('key', 0)
