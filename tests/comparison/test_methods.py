"""Methods by name, and what of a config is theirs."""

import pytest
from mmengine.config import Config

from mmdet_lcp.comparison import find_method, list_methods
from mmdet_lcp.comparison.methods import fragments_folder, has_known_method
from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.shipped import shipped


def test_every_fragment_of_a_method_has_known_method():
    methods = list_methods()
    assert {'lcp', 'lcp_exact'} <= set(methods)
    assert methods['lcp'] == 'Localization-aware Channel Pruning.'
    assert not {'lcp_vgg16', 'lcp_r50', 'sweep'} & set(methods)  # of no method of their own


@pytest.mark.parametrize('path', sorted(shipped('configs').glob('*/compare_*.py')), ids=str)
def test_the_grounds_of_comparisons_have_a_method_of_a_fragment(path):
    pruning = read_config(str(path)).pruning.to_dict()
    assert has_known_method(pruning)
    pruning['selection']['positions']['objects'] = 0.6
    assert not has_known_method(pruning)


def test_own_parts_replace_the_configs(config):
    pruning = Config.fromfile(config).pruning.to_dict()
    method = find_method('lcp')
    own = method.apply(pruning)
    assert own['update']['type'] == method.parts['update']['type'] == 'mmdet_lcp.SGDUpdate'
    assert own['selection'] == dict(num_images=2)  # positions are the method's: LCP has none
    for key in ('layers', 'finetune', 'retrain', 'evaluate'):
        assert own[key] == pruning[key]
    assert pruning['selection']['positions'] == dict(objects=0.9)  # left as it was


def test_positions_come_along(config):
    method = find_method('lcp_exact')
    own = method.apply(Config.fromfile(config).pruning.to_dict())
    assert own['selection'] == dict(num_images=2, positions=method.positions)


@pytest.mark.parametrize(
    ('name', 'update'),
    [('exact', 'ExactUpdate'), ('none', 'NoUpdate'), ('sgd', 'SGDUpdate')],
)
def test_another_update(name, update):
    method = find_method(f'lcp+{name}')
    assert (method.name, method.update) == (f'lcp+{name}', update)
    assert method.parts['criterion'] == find_method('lcp').parts['criterion']
    assert method.trains_along


def test_the_update_of_another_method():
    method, other = find_method('lcp+lcp_exact'), find_method('lcp_exact')
    assert method.parts['update'] == other.parts['update']
    assert method.positions == other.positions
    assert method.parts['criterion'] == find_method('lcp').parts['criterion']


def test_a_path(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {str(fragments_folder() / "lcp.py")!r}\n')
    assert find_method(f'{path}+none').name == 'mine+none'


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('lcpp', "no method 'lcpp'; the nearest is 'lcp'. Methods: "),
        ('scrach', "the nearest is 'scratch'"),
        ('lcp+exct', "no update 'exct'; the nearest is 'exact'"),
        ('nowhere.py', 'nowhere.py: there is no such fragment'),
        ('sweep', 'criterion'),
    ],
)
def test_unknown_names(name, words):
    with pytest.raises(CompressionError) as error:
        find_method(name, ['scratch', 'uniform'])
    assert words in str(error.value)
