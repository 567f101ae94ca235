"""Settings that differ from layer to layer."""

import pytest
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.weight_compression.by_layer import (
    check_values,
    layer_type,
    values_by_layer,
    without_delete,
)

PATHS = ['backbone.conv1', 'backbone.conv2', 'roi_head.fc1']
TYPES = {'backbone.conv1': 'conv', 'backbone.conv2': 'conv', 'roi_head.fc1': 'fc'}


@pytest.mark.parametrize(
    ('layer', 'expected'),
    [(nn.Linear(1, 1), 'fc'), (nn.Conv2d(1, 1, 1), 'conv'), (nn.ConvTranspose2d(1, 1, 1), 'conv')],
)
def test_layer_types(layer, expected):
    assert layer_type(layer) == expected


def test_one_value_is_everybodys():
    assert values_by_layer(0.5, PATHS, 'key') == dict.fromkeys(PATHS, 0.5)


def test_the_first_pattern_counts_and_what_matches_none_has_no_value():
    found = values_by_layer({'conv2$': 1, '^backbone': 2}, PATHS, 'key')
    assert found == {'backbone.conv1': 2, 'backbone.conv2': 1}


def test_a_type_is_not_searched_in_the_paths():
    """'conv' stands for the type: roi_head.conv would not be one if its layer were linear."""
    types = {**TYPES, 'roi_head.conv': 'fc'}
    found = values_by_layer({'conv': 1, 'fc': 2}, [*PATHS, 'roi_head.conv'], 'key', types)
    assert found == {
        'backbone.conv1': 1,
        'backbone.conv2': 1,
        'roi_head.fc1': 2,
        'roi_head.conv': 2,
    }
    assert 'roi_head.conv' in values_by_layer({'conv': 1}, [*PATHS, 'roi_head.conv'], 'key')


def test_a_type_may_match_nothing_a_pattern_may_not():
    assert values_by_layer({'fc': 1}, PATHS[:2], 'key', TYPES) == {}
    with pytest.raises(
        CompressionError, match=r"key: 'bakbone\.conv1' .* nearest is 'backbone\.conv1'"
    ):
        values_by_layer({'bakbone.conv1': 1}, PATHS, 'key', TYPES)


def test_delete_of_a_config_is_no_pattern():
    given = {'_delete_': True, 'fc1': 3}
    assert without_delete(given) == {'fc1': 3}
    assert values_by_layer(given, PATHS, 'key') == {'roi_head.fc1': 3}


def test_checks_every_value_under_its_key():
    seen = []
    check_values(0.5, 'key', lambda *found: seen.append(found))
    check_values({'_delete_': True, 'a': 1, 'b': 2}, 'key', lambda *found: seen.append(found))
    assert seen == [('key', 0.5), ("key['a']", 1), ("key['b']", 2)]


@pytest.mark.parametrize(
    ('value', 'words'),
    [({}, 'key is an empty mapping'), ({'_delete_': True}, 'empty'), ({'(': 1}, r"key\['\('\]")],
)
def test_no_layer_and_no_expression(value, words):
    with pytest.raises(CompressionError, match=words):
        check_values(value, 'key', lambda *_: None)
