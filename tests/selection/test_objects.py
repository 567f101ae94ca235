"""Images with objects first, and what is said of them; data sets are lists of labels."""

import numpy as np
import pytest

from mmdet_lcp.selection.objects import objects_first, objects_text


class Labels:
    """A data set of which only the labels are known; ``None`` is one that does not tell."""

    def __init__(self, *labels):
        self.metainfo = dict(classes=('cat', 'dog', 'owl'))
        self.labels = labels

    def get_data_info(self, index):
        own = self.labels[index]
        if own is None:
            return {}
        return dict(instances=[dict(bbox_label=label, ignore_flag=0) for label in own])


SOME = Labels([], [1], [], [0, 1], [0], [])


@pytest.mark.parametrize(
    ('enough', 'expected'),
    [
        (0, [5, 4, 3, 2, 1, 0]),
        (1, [4, 5, 3, 2, 1, 0]),  # what follows the first one with objects stays
        (2, [4, 3, 5, 2, 1, 0]),
        (3, [4, 3, 1, 5, 2, 0]),
        (6, [4, 3, 1, 5, 2, 0]),  # there are three
    ],
)
def test_objects_first(enough, expected):
    order = np.array([5, 4, 3, 2, 1, 0], dtype=np.int32)
    found = objects_first(SOME, order, enough)
    assert found.tolist() == expected and found.dtype == np.int32


@pytest.mark.parametrize('dataset', [Labels(None, [0], [1]), [1, 2, 3]])
def test_order_stays_where_nothing_is_told(dataset):
    assert objects_first(dataset, [0, 2, 1], 3).tolist() == [0, 2, 1]
    assert objects_text(dataset, [0, 2], 'images') == ('', False)


def test_text_of_images_with_objects():
    words, little = objects_text(SOME, [3, 4, 3], 'selection images')  # an image counts once
    assert words == '2 selection images, 2 of them with objects: cat 2, dog 1; none of owl'
    assert not little


def test_text_of_images_without():
    words, little = objects_text(SOME, [0, 1], 'selection images')
    assert words.startswith('2 selection images, 1 of them with objects: dog 1; none of cat, owl.')
    assert little and 'the data set has no more with objects' in words
    words, little = objects_text(SOME, [0, 2], 'images')
    assert words.startswith('2 images, 0 of them with objects. The others') and little


def test_no_more_than_ten_classes_are_listed():
    many = Labels([label for label in range(13) for _ in range(13 - label)])
    words, _ = objects_text(many, [0], 'images')
    listed = words.partition(': ')[2].split(', ')
    assert listed[:4] == ['cat 13', 'dog 12', 'owl 11', 'class 3 10']
    assert listed[-1] == 'class 9 4 and 3 more'
