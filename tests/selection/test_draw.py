"""Images with objects are drawn first; where all have some, the draw is as it always was."""

from types import SimpleNamespace

import numpy as np
import pytest
import small_ssd

from mmdet_lcp.seeds import derive
from mmdet_lcp.selection import draw as draw_module
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import deal, draw_images


class Images(small_ssd.Images):
    """Ten images that tell their objects, as data sets of mmdet do.

    Args:
        with_objects: numbers of the images that have one, of class ``number % 3``.
    """

    def __init__(self, with_objects=range(10)) -> None:
        self.metainfo = dict(classes=('cat', 'dog', 'owl'))
        self.with_objects = set(with_objects)

    def get_data_info(self, index):
        objects = [dict(bbox_label=index % 3, ignore_flag=0)] * (index in self.with_objects)
        return dict(instances=[*objects, dict(bbox_label=1, ignore_flag=1)])


@pytest.fixture(scope='module')
def dense():
    return small_ssd.build()


@pytest.fixture
def drawn(dense, monkeypatch):
    """Numbers of the images that are drawn, read from their pixels; and what the log tells."""
    told = []
    monkeypatch.setattr(draw_module, 'print_log', lambda text, **_: told.append(text))

    def draw(images, num_images, rank=0, world=1, seed=0, skip=0):
        told.clear()
        fake = SimpleNamespace(get_rank=lambda: rank, get_world_size=lambda: world)
        monkeypatch.setattr(draw_module, 'dist', fake)
        config = SelectionConfig(num_images=num_images, batch_size=4)
        batches = draw_images(images, dense, config, 4, seed, skip=skip)
        values = [batch.inputs[:, 0, -1, 0] * 50 + 100 for batch in batches]
        return [round(float(v) / 10) for own in values for v in own], list(told)

    return draw


def order(seed=0) -> list[int]:
    """The draw as it was before anything was known of objects."""
    return np.random.default_rng(derive(seed, 'selection images')).permutation(10).tolist()


@pytest.mark.parametrize('images', [Images(), small_ssd.Images()], ids=['tells', 'does not tell'])
@pytest.mark.parametrize('skip', [0, 4, 7])
def test_where_all_have_objects_it_is_as_it_was(drawn, images, skip):
    assert drawn(images, 6, skip=skip)[0] == np.roll(order(), -skip)[:6].tolist()


def test_those_with_objects_come_first_by_the_seed(drawn):
    some = (0, 3, 4, 8)
    for seed in range(3):
        expected = [index for index in order(seed) if index in some]
        assert drawn(Images(some), 4, seed=seed)[0] == expected
        assert drawn(Images(some), 2, seed=seed)[0] == expected[:2]
        rest = [index for index in order(seed) if index not in some]
        assert drawn(Images(some), 7, seed=seed)[0] == [*expected, *rest[:3]]


def test_ranks_share_one_draw(drawn):
    some = (0, 3, 4, 8)
    whole = drawn(Images(some), 6)[0]
    for rank in (0, 1):
        own, told = drawn(Images(some), 6, rank, world=2)
        assert own == whole[rank::2]
        assert told[0].startswith('6 selection images, 4 of them with objects')


def test_a_second_set_prefers_objects_to_being_another(drawn):
    """4 with objects, of which 2 are taken: the others, then these again."""
    some = (0, 3, 4, 8)
    found = [index for index in order() if index in some]
    assert drawn(Images(some), 2, skip=2)[0] == found[2:]
    assert sorted(drawn(Images(some), 4, skip=2)[0]) == sorted(some)
    assert sorted(drawn(Images(some), 4, skip=8)[0]) == sorted(some)


def test_the_log_tells_how_many_and_of_which_classes(drawn):
    assert drawn(Images((0, 3, 4)), 3)[1] == [
        '3 selection images, 3 of them with objects: cat 2, dog 1; none of owl'
    ]
    (line,) = drawn(Images((0, 3, 4)), 5)[1]
    assert line.startswith('5 selection images, 3 of them with objects: cat 2, dog 1; none of owl')
    assert 'judged on little' in line
    (line,) = drawn(Images(()), 2)[1]
    assert line.startswith('2 selection images, 0 of them with objects. The others')
    assert drawn(small_ssd.Images(), 2)[1] == []


@pytest.mark.parametrize(
    ('count', 'size', 'world'),
    [(8, 2, 1), (8, 2, 4), (12, 4, 3), (10, 2, 2), (6, 4, 2), (9, 4, 3)],
)
def test_every_image_is_dealt_once_and_every_rank_gets_as_many_batches(count, size, world):
    ranks = [deal(count, size, rank, world) for rank in range(world)]
    assert sorted(n for own in ranks for batch in own for n in batch) == list(range(count))
    assert len({tuple(map(len, own)) for own in ranks}) == 1
    for own in ranks:
        for batch in own:
            assert len(batch) <= size
            if len(batch) == size:  # a batch that one rank would have
                start = batch[0]
                assert batch.tolist() == list(range(start, start + size))
                assert start % size == 0 or size == 1
    # all of them are whole where that is possible
    assert all(len(b) == size for own in ranks for b in own) == (count % (size * world) == 0)
