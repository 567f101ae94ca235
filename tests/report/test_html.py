"""Pages that hold all that they show."""

import base64

import pytest
from html_pages import Page
from jinja2 import TemplateNotFound, UndefinedError

from mmdet_lcp.report.html import data_uri, write_page


def test_texts_are_no_markup(tmp_path):
    write_page(tmp_path / 'a.html', 'base.html', title='<i>$a & b', version='1')
    page = Page(tmp_path / 'a.html')
    assert 'i' not in page.tags and '<i>$a & b' in page.text
    assert page.addresses == ['data:,']


def test_what_is_missing_is_no_page(tmp_path):
    with pytest.raises(UndefinedError):
        write_page(tmp_path / 'a.html', 'base.html', title='a')
    with pytest.raises(TemplateNotFound):
        write_page(tmp_path / 'a.html', 'nothing.html')
    assert list(tmp_path.iterdir()) == []


def test_pictures_inside(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'\xff\xd8picture')
    head, content = data_uri(tmp_path / 'a.jpg').split(',')
    assert head == 'data:image/jpeg;base64' and base64.b64decode(content) == b'\xff\xd8picture'
