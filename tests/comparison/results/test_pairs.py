"""The table of who is ahead, in table.md, table.csv and the page."""

import csv
import io
from dataclasses import replace

import coco_scenes
import pytest

from mmdet_lcp.comparison.results.comparison import FINISHED, CellResult, Comparison
from mmdet_lcp.comparison.results.csv_table import comparison_csv, read_comparison_csv
from mmdet_lcp.comparison.results.page import comparison_page, write_comparison_page
from mmdet_lcp.comparison.results.pairs import pair_table, reference
from mmdet_lcp.comparison.results.tables import comparison_markdown
from mmdet_lcp.measure.image_matches import ImageMatches, file_of

MAP = 'coco/bbox_mAP'


@pytest.fixture(scope='module')
def comparison(tmp_path_factory) -> Comparison:
    """`a` is measured twice, the control `c` once; `old` has kept nothing."""
    folder = tmp_path_factory.mktemp('runs')
    data, found = coco_scenes.scenes(num_images=10)
    full = ImageMatches.of(coco_scenes.evaluated(data, found))
    half = ImageMatches.of(coco_scenes.evaluated(data, found[::6]))
    cells = []
    for method, update in (('a', 'ExactUpdate'), ('b', 'ExactUpdate'), ('c', None)):
        cell = CellResult(method, 0.5, 0, update, FINISHED, run_dir=str(folder / method))
        cell.final = {MAP: 0.2}
        (full if method == 'a' else half).save(file_of(cell.run_dir, 'final'))
        if update:
            cell.dense, cell.selected = {MAP: 0.3}, {MAP: 0.1}
            half.save(file_of(cell.run_dir, 'selected'))
            full.save(file_of(cell.run_dir, 'dense'))
        cells.append(cell)
    cells.append(CellResult('old', 0.5, 0, 'ExactUpdate', FINISHED, final={MAP: 0.2}))
    return Comparison(cells, ['a', 'b', 'c', 'old'])


def test_who_is_ahead(comparison):
    headers, rows = pair_table(comparison, 0.5)
    assert headers == ['against a', 'measured', 'mAP', 'AP50', 'AP75', 'small', 'medium', 'large']
    first, second, control, *old = rows
    assert first[:3] == ['b', 'right after selection', 'level: +0.0 [+0.0, +0.0]']
    assert second[:2] == ['b', 'after training'] and second[2].startswith('behind by ')
    assert control[:2] == ['c', 'after training'] and control[2:] == second[2:]
    assert [row[:3] for row in old] == [
        ['old', words, 'not kept'] for words in ('right after selection', 'after training')
    ]


def test_another_reference(comparison):
    own = Comparison(comparison.cells, comparison.methods, against='dense')
    assert reference(own) == 'dense'
    headers, rows = pair_table(own, 0.5)
    assert headers[0] == 'against dense' and [row[0] for row in rows[:2]] == ['a', 'a']
    assert rows[0][2].startswith('behind by ') and rows[1][2] == 'level: +0.0 [+0.0, +0.0]'
    own.against = 'c'  # a control is not measured right after a selection
    assert [row[:2] for row in pair_table(own, 0.5)[1][:2]] == [
        ['a', 'after training'],
        ['b', 'after training'],
    ]


def test_without_training_there_is_one_moment(comparison):
    cells = [replace(cell, iterations='0') for cell in comparison.cells[:2]]
    rows = pair_table(Comparison(cells, ['a', 'b']), 0.5)[1]
    assert [row[:2] for row in rows] == [['b', 'right after selection']]


def test_it_stands_in_all_three(comparison, tmp_path):
    text = comparison_markdown(comparison)
    assert '| against a ' in text and 'mAP 95 %' in text and '1000 bootstrap draws' in text
    lines = [line for line in text.splitlines() if line.startswith('| old ')]
    assert lines[0].count('not kept') == 2
    dense = next(line for line in text.splitlines() if line.startswith('| dense '))
    assert '[0.' in dense
    page = write_comparison_page(comparison, tmp_path).read_text()
    assert 'Who is ahead' in page and 'behind by ' in page
    assert len(comparison_page(comparison, tmp_path).pairs) == 1
    table = comparison_csv(comparison)
    (tmp_path / 'table.csv').write_text(table)
    rows = list(csv.DictReader(io.StringIO(table)))
    low, high = (float(rows[0][f'final_{end} mAP']) for end in ('low', 'high'))
    assert 0 <= low < high <= 1
    assert rows[2]['selected_low mAP'] == rows[3]['final_high mAP'] == ''
    again = read_comparison_csv(tmp_path / 'table.csv')
    assert again.cells[0].final == {MAP: 0.2}


def test_nothing_kept(comparison):
    """Folders of before: no column, and a word of why."""
    old = Comparison(comparison.cells[3:], ['old'])
    assert pair_table(old, 0.5) is None
    text = comparison_markdown(old)
    assert '95 %' not in text and 'are not kept by these runs' in text


def test_a_class_without_an_object_is_named(tmp_path):
    data, found = coco_scenes.scenes(num_images=3)
    first = data['categories'][0]
    rest = [item for item in data['annotations'] if item['category_id'] != first['id']]
    matches = ImageMatches.of(coco_scenes.evaluated({**data, 'annotations': rest}, found))
    matches.save(file_of(tmp_path, 'final'))
    cell = CellResult('a', 0.5, 0, None, FINISHED, final={MAP: 0.2}, run_dir=str(tmp_path))
    comparison = Comparison([cell], ['a'])
    words = f"class '{first['name']}' has no object on the test images"
    for _ in range(2):  # computed, and read back
        assert f'**Note:** {words}' in comparison_markdown(comparison)
    assert any(line.startswith(words) for line in comparison_page(comparison, tmp_path).remarks)
