"""Whose a comparison's folder is; how `run_comparison` keeps to it stands in test_run.py."""

import json

import pytest

from mmdet_lcp.comparison.folder import check_folder, describe, locked, write_cell
from mmdet_lcp.errors import CompressionError


def test_methods_of_earlier_calls_stay(plan, tmp_path):
    path = tmp_path / 'comparison.json'
    path.write_text(json.dumps(dict(methods=['taylor', 'lcp'])))
    describe(plan, tmp_path, 'compare.py --again')
    about = json.loads(path.read_text())
    assert about['command'] == 'compare.py --again'
    new = [name for name in plan.methods if name != 'lcp']
    assert about['methods'] == ['taylor', 'lcp', *new]
    check_folder(plan, tmp_path)


def test_a_cell_that_has_not_begun_may_change(plan, tmp_path):
    describe(plan, tmp_path, '')
    cell = plan.cells[0]
    path = cell.folder(tmp_path) / 'cell.json'
    path.write_text(json.dumps({**cell.facts(), 'fingerprint': {'pruning': 'x'}}))
    check_folder(plan, tmp_path)
    (cell.folder(tmp_path) / 'run').mkdir()
    with pytest.raises(CompressionError, match=f'{cell.name} holds a run with another'):
        check_folder(plan, tmp_path)
    write_cell(cell, tmp_path)
    check_folder(plan, tmp_path)


def test_a_damaged_file_is_named(plan, tmp_path):
    (tmp_path / 'comparison.json').write_text('{"shared": ')
    with pytest.raises(CompressionError, match=r'comparison\.json is damaged'):
        check_folder(plan, tmp_path)


def test_a_lock_ends_with_its_holder(tmp_path):
    out = tmp_path / 'new' / 'folder'
    with locked(out), pytest.raises(CompressionError, match='written by another'), locked(out):
        pass
    with locked(out):
        pass
