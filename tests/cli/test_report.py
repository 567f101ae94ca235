"""The page of whatever lies in a folder."""

import pytest
from html_pages import Page
from made_reports import report

from mmdet_lcp.cli import report as tool
from mmdet_lcp.files import write_json


def make_run(folder, **changes):
    write_json(folder / 'report.json', report(**changes).to_dict())
    return folder


def test_runs(tmp_path, capsys):
    folders = [make_run(tmp_path / name) for name in ('one', 'two')]
    assert tool.main([str(folder) for folder in folders]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(folder / 'report.html') for folder in folders]
    assert 'LCP: one' in Page(folders[0] / 'report.html').text


def test_a_comparison_with_pages_of_its_runs(tmp_path):
    cell = dict(method='lcp', ratio=0.5, seed=0, update='NoUpdate', iterations='6', same_as=None)
    write_json(tmp_path / 'cells' / 'a' / 'cell.json', cell)
    run = make_run(tmp_path / 'cells' / 'a' / 'run')
    assert tool.main([str(tmp_path)]) == 0
    assert 'cells/a/run/report.html' in Page(tmp_path / 'report.html').addresses
    assert 'LCP' in Page(run / 'report.html').text


def test_a_chain_with_pages_of_its_links(tmp_path):
    facts = dict(metrics={}, params=1, macs=2, file_bytes=3)
    link = dict(name='1_pruning', detector=facts, folder='1_pruning', method='LCP', seconds=1.0)
    write_json(tmp_path / 'chain_report.json', dict(links=[link]))
    make_run(tmp_path / '1_pruning')
    assert tool.main([str(tmp_path)]) == 0
    assert '1_pruning/report.html' in Page(tmp_path / 'report.html').addresses


def test_nothing_there(tmp_path, capsys):
    assert tool.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f'error: {tmp_path} holds no run')


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(['--help'])
    assert stop.value.code == 0 and 'under way' in capsys.readouterr().out
