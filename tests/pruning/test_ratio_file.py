"""Ratios from a file, and what is no such file."""

import json

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.ratio_file import is_ratio_file, read_ratios


@pytest.mark.parametrize(
    ('ratio', 'is_one'), [('ratios.json', True), ('conv.*', False), (0.5, False), ({}, False)]
)
def test_what_is_one(ratio, is_one):
    assert is_ratio_file(ratio) == is_one


def test_it_is_read(tmp_path):
    path = tmp_path / 'ratios.json'
    path.write_text(json.dumps({'stage1': 0.25, 'stage2': 0.75}))
    assert read_ratios(str(path)) == {'stage1': 0.25, 'stage2': 0.75}


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', '0.5'])
def test_what_is_none_names_key_and_file(tmp_path, text):
    path = tmp_path / 'ratios.json'
    path.write_text(text)
    with pytest.raises(CompressionError, match=rf"^pruning\.ratio='{path}'"):
        read_ratios(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CompressionError, match=r'^pruning\.ratio='):
        read_ratios(str(tmp_path / 'none.json'))
