"""Maps that are kept: by which name, where, and how many."""

import hashlib
from pathlib import Path

import pytest
import torch

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.mimic_cache import FeatureCache, digest

META = dict(
    img_path='0.jpg',
    img_id=7,
    img_shape=(64, 64),
    pad_shape=(64, 64),
    batch_input_shape=(64, 64),
    flip=False,
    flip_direction=None,
)
ONE = 2 * 3 * 4 * 4  # bytes of a map of `maps`


@pytest.fixture(params=['memory', 'disk'])
def folder(request, tmp_path):
    return None if request.param == 'memory' else tmp_path / 'made' / 'kept'


@pytest.fixture
def cache(folder):
    return FeatureCache(folder)


def maps(value: float = 1.0) -> dict[str, list[torch.Tensor]]:
    """Three maps of 96 bytes."""
    levels = torch.arange(24.0).reshape(2, 3, 4) * value
    return {'neck': [levels, -levels], 'backbone': [levels + 1]}


def same(found, expected) -> bool:
    return list(found) == list(expected) and all(
        torch.equal(one, other) and one.dtype == other.dtype
        for path in expected
        for one, other in zip(found[path], expected[path], strict=True)
    )


class TestNames:
    def test_knows_an_image_by_file_and_place(self, cache):
        key = cache.key(META)
        assert cache.key(dict(reversed(META.items()))) == key
        changes = [
            dict(img_path='other.jpg'),
            dict(img_shape=(60, 64)),
            dict(pad_shape=(64, 96)),
            dict(batch_input_shape=(64, 96)),
            dict(flip=True),
            dict(flip_direction='horizontal'),
        ]
        assert len({key, *(cache.key({**META, **change}) for change in changes)}) == 7

    def test_nothing_else_counts(self, cache):
        assert cache.key({**META, 'img_id': 8, 'scale_factor': (2.0, 2.0)}) == cache.key(META)

    def test_a_number_where_there_is_no_file(self, cache):
        """0 is a number like any other."""
        keys = [cache.key(dict(img_id=number, img_shape=(3, 3))) for number in (0, 1)]
        assert keys[0] != keys[1]

    def test_images_without_a_name(self, cache):
        with pytest.raises(CompressionError, match=r'mimic.teacher.cache.*meta_keys'):
            cache.key(dict(img_shape=(3, 3)))

    def test_memory_and_disk_name_alike(self, tmp_path):
        assert FeatureCache().key(META) == FeatureCache(tmp_path).key(META)


class TestMaps:
    def test_come_back(self, cache):
        half = {'neck': [maps()['neck'][0].half()]}
        cache.put('a', maps())
        cache.put('b', half)
        assert same(cache.get('a'), maps()) and same(cache.get('b'), half)

    def test_unknown(self, cache):
        cache.put('a', maps())
        assert cache.get('b') is None

    def test_the_last_one_counts(self, cache):
        cache.put('a', maps())
        cache.put('a', maps(2))
        assert same(cache.get('a'), maps(2))

    def test_are_copies_without_a_graph(self, cache):
        given = maps()
        given['neck'][0].requires_grad_()
        cache.put('a', given)
        with torch.no_grad():
            given['neck'][0].zero_()
        assert same(cache.get('a'), maps())
        assert not cache.get('a')['neck'][0].requires_grad


class TestDisk:
    def test_a_file_an_image(self, tmp_path):
        cache = FeatureCache(tmp_path)
        cache.put('a', maps())
        cache.put('b', maps())
        assert {path.name for path in tmp_path.iterdir()} == {'a.pth', 'b.pth'}
        assert same(FeatureCache(tmp_path).get('a'), maps())

    @pytest.mark.parametrize('damage', [lambda data: data[:100], lambda data: b''])
    def test_a_damaged_file_is_written_anew(self, tmp_path, damage):
        cache = FeatureCache(tmp_path)
        cache.put('a', maps())
        path = tmp_path / 'a.pth'
        path.write_bytes(damage(path.read_bytes()))
        assert cache.get('a') is None
        cache.put('a', maps())
        assert same(cache.get('a'), maps())

    def test_no_code_is_run(self, tmp_path):
        torch.save({'neck': [print]}, tmp_path / 'a.pth')
        assert FeatureCache(tmp_path).get('a') is None


class TestLimit:
    """Of 3 * 96 bytes an image."""

    @pytest.mark.parametrize(('images', 'kept'), [(0.5, 1), (1, 1), (1.5, 2), (2, 2)])
    def test_takes_no_more_once_it_is_reached(self, folder, images, kept):
        cache = FeatureCache(folder, images * 3 * ONE / 2**30)
        full = []
        for number in range(4):
            cache.put(str(number), maps(number))
            full.append(cache.full)
        assert full == [number + 1 >= kept for number in range(4)]
        for number in range(4):
            found = cache.get(str(number))
            assert same(found, maps(number)) if number < kept else found is None


def test_digest_is_sha256_of_sorted_json():
    expected = hashlib.sha256(b'{"a": [1, null], "b": "x/y"}').hexdigest()[:32]
    assert digest({'b': 'x/y', 'a': (1, None)}) == expected
    assert digest({'a': [1, None], 'b': Path('x/y')}) == expected
