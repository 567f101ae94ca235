"""The glossary's picture shows the group that the trace finds."""

import re
from pathlib import Path

import pytest

import group_picture

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def group():
    return group_picture.traced_group()


def test_who_writes_scales_and_reads_by_hand(group):
    """x = stem_bn(stem(image)); head(x + bn2(conv2(bn1(conv1(x)))))."""
    assert {name: words for name, (words, _) in group_picture.labels(group).items()} == {
        'stem': 'writes it: filter 5',
        'conv2': 'writes it: filter 5',
        'stem_bn': 'scales it: entry 5',
        'bn2': 'scales it: entry 5',
        'conv1': 'reads it: input 5',
        'head': 'reads it: input 5',
    }


def test_every_layer_is_drawn_and_those_of_the_group_in_colour(group):
    (axes,) = group_picture.draw(group).axes
    drawn = [text.get_text() for text in axes.texts]
    assert {*group_picture.LAYERS} - {'add'} <= {*drawn} and '+' in drawn
    assert [drawn.count(f'{what} 5') for what in ('filter', 'entry', 'input')] == [2, 2, 2]


def test_the_page_says_the_same_in_words(group):
    text = (ROOT / 'docs' / 'glossary.md').read_text()
    (words,) = re.findall(r'!\[([^]]*)\]\(channel_group\.svg\)', text)
    assert (ROOT / 'docs' / 'channel_group.svg').read_text().startswith('<?xml')
    written = re.search(r'Producers: (\w+) and (\w+)', words)
    assert set(written.groups()) == {member.path for member in group.producers}
    written = re.search(r'Consumers: (\w+) and (\w+)', ' '.join(words.split()))
    assert set(written.groups()) == {member.path for member in group.consumers}
