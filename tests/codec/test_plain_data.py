import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_lcp.codec.plain_data import from_json, to_json
from mmdet_lcp.errors import CompressionError

TEXT = st.text(alphabet='a"\\$ä漢\ud800\n', max_size=8)
KEYS = TEXT | st.integers() | st.booleans() | st.none()
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS | st.sampled_from(['$tuple', '$dict', '$']), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(a, b) -> bool:
    """Equal, types and signs of zeros and the order of keys included."""
    return repr(a) == repr(b)


@given(PLAIN)
def test_reads_back(data):
    assert same(from_json(to_json({'x': data})), {'x': data})


def test_numbers_that_json_lacks():
    data = {'a': [math.inf, -math.inf, math.nan, -0.0, np.float64(0.5), np.int64(3), np.bool_(1)]}
    expected = {'a': [math.inf, -math.inf, math.nan, -0.0, 0.5, 3, True]}
    assert same(from_json(to_json(data)), expected)


def test_written_form():
    data = {'a': (1, [2]), 'b': {3: None}}
    assert to_json(data) == b'{"a":{"$tuple":[1,[2]]},"b":{"$dict":[[3,null]]}}'


@pytest.mark.parametrize(
    ('data', 'where'),
    [
        ({'a': {'b': [0, {1}]}}, r'a\.b\[1\]: a set'),
        ({'a': np.zeros(2)}, 'a: a ndarray'),
        ({'a': b'x'}, 'a: a bytes'),
        ({'a': print}, 'a: a builtin'),
    ],
)
def test_what_is_not_plain_is_named(data, where):
    with pytest.raises(CompressionError, match=where):
        to_json(data)


def test_what_holds_itself():
    data = {}
    data['a'] = data
    with pytest.raises(CompressionError, match='nested too deeply'):
        to_json(data)


@pytest.mark.parametrize(
    'text',
    [
        b'',
        b'{',
        b'\xff',
        b'NaN',
        b'{"a":Infinity}',
        b'[' * 200 + b']' * 200,
        b'[' * 10**6,
        b'{"$tuple":1}',
        b'{"$float":"1"}',
        b'{"$float":["nan"]}',
        b'{"$dict":[[[1],2]]}',
        b'{"$dict":[1]}',
        b'{"$dict":[[1,2,3]]}',
        b'{"$other":[]}',
        b'{"$tuple":[],"a":1}',
        b'1' * 10**5,
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(CompressionError, match='no valid JSON'):
        from_json(text)
