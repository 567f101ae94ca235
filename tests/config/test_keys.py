"""Keys that nobody reads are errors, with the nearest valid one in the message."""

import dataclasses

import pytest
from mmengine.registry import Registry

from mmdet_lcp import CompressionError
from mmdet_lcp.config.keys import build, check_keys, check_pattern, meant, parse, section

THINGS = Registry('things of this test', scope='mmdet_lcp')


@THINGS.register_module()
@dataclasses.dataclass
class Thing:
    size: int = 1
    shape: str = 'round'


@THINGS.register_module()
def anything(**keys):
    return keys


class TestSection:
    def test_found(self):
        assert section({'pruning': 3}, 'pruning', 'PruningRunner', 'pruning') == 3

    def test_missing_with_one_that_was_meant(self):
        message = (
            r'no `pruning` key, which PruningRunner needs\. Did you mean `prunign` to be '
            r'`pruning`\? Inherit a fragment of configs/_base_/pruning/\.$'
        )
        with pytest.raises(CompressionError, match=message):
            section({'prunign': 3}, 'pruning', 'PruningRunner', 'pruning')

    def test_nothing_like_it(self):
        assert meant({'model': 1, 'optim_wrapper': 2}, 'pruning') == ''


class TestKeys:
    def test_known_ones_pass(self):
        check_keys({'size': 1}, ['size', 'shape'], 'thing')

    def test_nearest(self):
        message = r"^thing has an unknown key 'sise'; the nearest valid one is 'size'\. Valid keys"
        with pytest.raises(CompressionError, match=message):
            check_keys({'size': 1, 'sise': 1}, ['shape', 'size'], 'thing')

    def test_a_key_that_is_no_name(self):
        with pytest.raises(CompressionError, match='thing has an unknown key 3'):
            check_keys({3: 1}, ['size'], 'thing')


@pytest.mark.parametrize('pattern', ['(', '[a', 3, None])
def test_no_regular_expression(pattern):
    with pytest.raises(CompressionError, match=r'^pruning\.layers=.* is not a regular expression'):
        check_pattern(pattern, 'pruning.layers')
    check_pattern(r'^backbone\.', 'pruning.layers')


class TestParse:
    def test_into_a_dataclass(self):
        assert parse(Thing, {'shape': 'flat'}, 'thing') == Thing(1, 'flat')

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            (['size'], '^thing must be a dict, not list'),
            ({'shap': 1}, "the nearest valid one is 'shape'"),
        ],
    )
    def test_mistakes(self, given, message):
        with pytest.raises(CompressionError, match=message):
            parse(Thing, given, 'thing')


class TestBuild:
    @pytest.mark.parametrize('kind', ['Thing', 'mmdet_lcp.Thing', Thing])
    def test_by_name_scope_and_class(self, kind):
        given = {'type': kind, 'size': 4, '_scope_': 'mmdet_lcp'}
        assert build(THINGS, given, 'thing') == Thing(4)
        assert given['type'] == kind  # the config is only read

    def test_a_function_that_takes_any_key(self):
        assert build(THINGS, {'type': 'anything', 'sise': 4}, 'thing') == {'sise': 4}

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            ({'size': 1}, r"^thing must be a dict with a 'type'"),
            ('Thing', r"^thing must be a dict with a 'type'"),
            ({'type': 'Thin'}, r"^thing\.type='Thin' is not registered; the nearest is 'Thing'"),
            ({'type': 'Thin'}, r'Registered: Thing, anything\..*custom_imports'),
            ({'type': 3}, r'^thing\.type=3 must be a name or a class'),
            ({'type': 'Thing', 'sise': 1}, r"unknown key 'sise'; the nearest valid one is 'size'"),
        ],
    )
    def test_mistakes(self, given, message):
        with pytest.raises(CompressionError, match=message):
            build(THINGS, given, 'thing')
