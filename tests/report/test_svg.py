"""Figures as text of a page."""

import xml.etree.ElementTree as ET

from mmdet_lcp.report.figures import new_figure
from mmdet_lcp.report.svg import svg_of


def test_it_takes_colours_font_and_width_of_the_page():
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color='black', marker='o', markerfacecolor='white', label='$x_{$')
    axes.set_title('<b> & "c"')
    axes.legend()
    text = svg_of(figure, 'words "in" <them>')
    tree = ET.fromstring(text)
    assert tree.attrib['aria-label'] == 'words "in" <them>'
    assert 'width' not in tree.attrib and 'height' not in tree.attrib and 'viewBox' in tree.attrib
    assert '#000000' not in text and '#ffffff' not in text
    assert 'currentColor' in text and 'var(--paper)' in text
    assert not {'metadata', 'script', 'image'} & {e.tag.rpartition('}')[2] for e in tree.iter()}
    texts = [e.text for e in tree.iter() if e.tag.endswith('}text')]
    assert '<b> & "c"' in texts and '$x_{$' in texts  # as they stand, and as text


def test_two_figures_of_a_page_share_no_name():
    names = []
    for words in ('one', 'two'):
        figure = new_figure(4, 3)
        figure.add_subplot().plot([0, 1], [0, 1], marker='o')
        tree = ET.fromstring(svg_of(figure, words))
        names.append({e.attrib['id'] for e in tree.iter() if 'id' in e.attrib})
    assert names[0] and not names[0] & names[1]
