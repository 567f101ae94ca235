"""What stands between the marks of a page is replaced, and nothing else."""

import pytest

from marked_page import replace

PAGE = 'before\n<!-- a: begin -->\nold\n<!-- a: end -->\n<!-- b: begin -->\nb\n<!-- b: end -->\n'


def test_one_table_is_replaced(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(PAGE)
    replace(page, 'a', 'new')
    assert page.read_text() == PAGE.replace('old', 'new')


@pytest.mark.parametrize('text', [PAGE + PAGE, 'a', '<!-- a: end -->\n<!-- a: begin -->'])
def test_marks_that_are_missing_doubled_or_turned_are_told(tmp_path, text):
    page = tmp_path / 'page.md'
    page.write_text(text)
    with pytest.raises(ValueError, match='a: begin'):
        replace(page, 'a', 'new')
    assert page.read_text() == text
