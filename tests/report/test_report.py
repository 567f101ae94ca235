import json

import mmdet
import pytest
from made_reports import report

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.facts import DetectorFacts, WeightFacts
from mmdet_lcp.report.report import Report, hardware, read_report, versions
from mmdet_lcp.report.report_pages import report_markdown, write_report


def test_json_has_the_promised_keys_and_comes_back(tmp_path):
    write_report(report(), tmp_path)
    data = json.loads((tmp_path / 'report.json').read_text())
    assert data['dense']['params'] == 24_000_000
    assert data['compressed']['file_bytes'] == 24_123_456
    assert data['compressed']['backbone_macs'] == 6_500_000_000
    assert data['groups'] == [
        dict(
            name='backbone.features.0',
            total=64,
            asked=32,
            kept=32,
            criterion_seconds=4.2,
            log={},
        )
    ]
    assert data['pruned_metrics'] == {}
    assert data['skipped'] == [dict(name='neck.l2_norm', reason='a | b')]
    assert data['steps'][1]['group'] == 'backbone.features.0'
    assert set(data['versions']) >= {'torch', 'mmdet', 'mmcv', 'mmengine', 'mmdet_lcp'}
    assert data['versions']['mmdet'] == mmdet.__version__
    assert set(data['hardware']) == {'cpu', 'cores', 'threads', 'gpus'}
    again = read_report(tmp_path)
    assert again == read_report(tmp_path / 'report.json')
    assert again.groups == report().groups and again.steps == report().steps


def test_unreadable_reports(tmp_path):
    with pytest.raises(CompressionError, match='no such report'):
        read_report(tmp_path)
    path = tmp_path / 'report.json'
    for text, words in (
        ('{"method', 'no JSON'),
        ('{"method": 1}', 'no report'),
        ('[1]', 'no rep'),
    ):
        path.write_text(text)
        with pytest.raises(CompressionError, match=words):
            read_report(path)


def test_machine():
    assert hardware()['cpu'] and hardware()['threads'] >= 1
    assert versions()['torch']


def weight_facts(name: str, before: int, sparse: int | None, shared: int | None, after: int):
    return WeightFacts(name, '', 100, 50, before, after, sparse, shared)


def test_bytes_after_each_step():
    weights = [
        weight_facts('a.weight', 4000, 500, 200, 150),
        weight_facts('a.bias', 40, 40, 40, 20),
    ]
    report = Report('Deep Compression', 0, '', 1.0, DetectorFacts(), DetectorFacts(file_bytes=250))
    assert report.file_steps() == []
    report.weights = weights
    assert report.file_steps() == [
        ('dense', 4040),
        ('zeros left out, values as they are', 540),
        ('shared values as indices', 240),
        ('coded: the file, with config', 250),
    ]
    assert Report.from_dict(report.to_dict()).file_steps() == report.file_steps()
    weights[0].bytes_sparse, weights[0].bytes_shared = 4000, 200  # one bit a weight: no zeros
    assert [words for words, _ in report.file_steps()] == [
        'dense',
        'shared values as indices',
        'coded: the file, with config',
    ]
    weights[0].bytes_shared = None  # not counted
    assert [size for _, size in report.file_steps()] == [4040, 250]
    page = report_markdown(report)
    (row,) = [line for line in page.splitlines() if line.startswith('| coded')]
    assert [cell.strip() for cell in row.split('|')[2:-1]] == ['250 B', '16.2x']
