"""The name that was probably meant."""

import pytest

from mmdet_lcp.nearest import SIMILAR, nearest_hint, without_escapes


def test_one_letter_off():
    assert nearest_hint('bakbone', ['neck', 'backbone']) == "; the nearest is 'backbone'"
    assert nearest_hint('bakbone', iter({'backbone': 1})) == "; the nearest is 'backbone'"


def test_the_sentence_is_the_caller_s():
    assert nearest_hint('nek', ['neck'], '. Did you mean `{}`?') == '. Did you mean `neck`?'


def test_nothing_alike_unless_it_has_to_be():
    assert nearest_hint('xyz', ['neck'], least=SIMILAR) == ''
    assert nearest_hint('xyz', ['neck']) == "; the nearest is 'neck'"


def test_nothing_to_choose_from():
    assert nearest_hint('neck', []) == ''


def test_what_is_no_text():
    assert nearest_hint(3, ['2', '33']) == "; the nearest is '33'"


@pytest.mark.parametrize(
    ('pattern', 'name'), [(r'^stem\.0$', 'stem.0'), ('neck', 'neck'), (r'a\\b', 'a\\b')]
)
def test_a_pattern_as_a_name(pattern, name):
    assert without_escapes(pattern) == name
