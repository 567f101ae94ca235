"""Modules that a cell's config imports."""

import pytest

from mmdet_lcp.comparison.imports import imported_modules, with_imports


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, ['a', 'b']),
        ({'custom_imports': None}, ['a', 'b']),
        ({'custom_imports': {'imports': 'mine'}}, ['mine', 'a', 'b']),
        ({'custom_imports': {'imports': ['b', 'mine']}}, ['b', 'mine', 'a']),
    ],
)
def test_they_are_added_once(given, expected):
    before = repr(given)
    assert imported_modules(with_imports({'model': 1, **given}, ['a', 'b'])) == expected
    assert repr(given) == before


def test_what_else_is_said_of_imports_stays():
    cfg = {'custom_imports': {'imports': 'mine', 'allow_failed_imports': True}}
    assert with_imports(cfg, ['a'])['custom_imports']['allow_failed_imports'] is True


def test_none_to_add():
    assert with_imports({'model': 1}, []) == {'model': 1}
