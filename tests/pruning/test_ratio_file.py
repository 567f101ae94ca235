"""Ratios from a file, and what is no such file."""

import json

import pytest
from made_reports import report

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.pruning.ratio_file import is_ratio_file, read_ratios
from mmdet_lcp.pruning.stages import round_half_up
from mmdet_lcp.report.facts import GroupFacts
from mmdet_lcp.report.report_pages import write_report


@pytest.mark.parametrize(
    ('ratio', 'is_one'), [('ratios.json', True), ('conv.*', False), (0.5, False), ({}, False)]
)
def test_what_is_one(ratio, is_one):
    assert is_ratio_file(ratio) == is_one


def test_it_is_read(tmp_path):
    path = tmp_path / 'ratios.json'
    path.write_text(json.dumps({'stage1': 0.25, 'stage2': 0.75}))
    assert read_ratios(str(path)) == {'stage1': 0.25, 'stage2': 0.75}


def test_as_many_channels_as_another_run_left(tmp_path):
    """Groups by their names; one that lost nothing is left alone."""
    other = report()
    other.groups = [
        GroupFacts('backbone.conv1', 16, 5, 5),
        GroupFacts('neck.0', 64, 64, 64),
        GroupFacts('backbone.layer1.0.conv1', 32, 8, 12),
    ]
    write_report(other, tmp_path)
    ratios = read_ratios(str(tmp_path / 'report.json'))
    assert ratios == {r'^backbone\.conv1$': 11 / 16, r'^backbone\.layer1\.0\.conv1$': 20 / 32}


def test_the_number_comes_back_whatever_it_is(tmp_path):
    """All numbers of up to 130 channels, through the file and the rounding of a run."""
    other = report()
    pairs = [(total, kept) for total in range(2, 131) for kept in range(1, total)]
    other.groups = [GroupFacts(f'g{i}', t, k, k) for i, (t, k) in enumerate(pairs)]
    path = tmp_path / 'report.json'
    write_json(path, other.to_dict())
    ratios = read_ratios(str(path))
    found = [round_half_up(pair[0] * (1 - ratios[f'^g{i}$'])) for i, pair in enumerate(pairs)]
    assert found == [kept for _, kept in pairs]


def test_a_report_that_is_damaged(tmp_path):
    path = tmp_path / 'report.json'
    path.write_text(json.dumps({'groups': [{'name': 'conv'}]}))
    with pytest.raises(CompressionError, match=r"^pruning\.ratio='.*no report of a compression"):
        read_ratios(str(path))


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', '0.5'])
def test_what_is_none_names_key_and_file(tmp_path, text):
    path = tmp_path / 'ratios.json'
    path.write_text(text)
    with pytest.raises(CompressionError, match=rf"^pruning\.ratio='{path}'"):
        read_ratios(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CompressionError, match=r'^pruning\.ratio='):
        read_ratios(str(tmp_path / 'none.json'))
