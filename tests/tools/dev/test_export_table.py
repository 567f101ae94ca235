"""The tool for the table of docs/export.md: one row a detector, kept, and written down."""

import json
from pathlib import Path

import pytest

from export_table import cells, main, table

ROOT = Path(__file__).parents[3]
pytest.importorskip('onnxruntime')
ONE = dict(pairs=99, box=0.0123, score=2e-6, mask=0.0, ties=0, others=0)


def test_cells():
    assert cells(ONE) == ['99', '1e-02', '2e-06']
    assert cells({**ONE, 'ties': 1, 'others': 2})[0] == '99 + 1 ties + 2 others'
    assert cells({**ONE, 'mask': 4e-6})[2] == '2e-06, masks 4e-06'
    assert cells({'refused': 'soft'}) == ['no: soft', '', '']


def test_an_engine_has_columns_where_it_was_tried():
    rows = [{'name': 'A', 'onnx': {'opset': 17, **ONE}}, {'name': 'B', 'onnx': {'refused': 'x'}}]
    assert table(rows).splitlines()[0].count('|') == 6
    rows[0]['openvino'] = ONE
    head, _, *lines = table(rows).splitlines()
    assert 'OpenVINO' in head and {line.count('|') for line in (head, *lines)} == {9}


def test_what_is_kept_is_not_measured_again_but_written(tmp_path):
    """The first detector's row lies there: nothing is built, the page gets it."""
    (tmp_path / 'ssd300.json').write_text(json.dumps({'name': 'kept', 'onnx': {'refused': 'x'}}))
    main(['--work', str(tmp_path), '--only', 'ssd300'])
    page = tmp_path / 'page.md'
    page.write_text('<!-- table: begin -->\n<!-- table: end -->\n')
    main(['--work', str(tmp_path), '--page', str(page)])
    assert '| kept |  | no: x |' in page.read_text()


def test_the_page_has_the_marks():
    text = (ROOT / 'docs' / 'export.md').read_text(encoding='utf-8')
    assert text.count('<!-- table: begin -->') == text.count('<!-- table: end -->') == 1
