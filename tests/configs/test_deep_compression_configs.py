"""Every config of Deep Compression lays out its stages on the detector that it names."""

import copy
import functools
import inspect
import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.chain.runner import ChainRunner
from mmdet_lcp.codec import PackSettings
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.weight_compression import ConnectionPruning, WeightCompressionRunner, WeightSharing
from mmdet_lcp.weight_compression.config import KEY, WeightCompressionConfig
from mmdet_lcp.weight_compression.layers import weight_layers

register_all_modules()

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.stem for path in (CONFIGS / 'deep_compression').glob('*.py'))
CHAINS = [name for name in NAMES if name.endswith('_after_lcp')]
FRAGMENTS = ('connection_pruning', 'weight_sharing', 'deep_compression')


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / 'deep_compression' / f'{name}.py')


@functools.cache
def build(name: str):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(load(name).model))


def stages_of(name: str):
    """{method's name: (stages, skipped)}."""
    config = WeightCompressionConfig.from_cfg(load(name))
    return {key: method.stages(build(name), key) for key, method in config.methods.items()}


def test_all_are_there():
    for detector in ('ssd_narrow_vgg_bccd', 'ssd_narrow_vgg_digits'):
        assert {detector, f'{detector}_after_lcp'} <= set(NAMES)
    assert {'ssd300_vgg16_voc0712', 'ssd300_vgg16_coco'} <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_stages(name):
    found = stages_of(name)
    assert list(found) == ['mask', 'share']
    layers = list(weight_layers(build(name)))
    (rounds, left_alone), (sharing, skipped) = found['mask'], found['share']
    assert len(rounds) == 3 and len(sharing) == 1
    assert rounds[-1].layers == layers[1:] and [item.name for item in left_alone] == layers[:1]
    assert sharing[0].layers == layers and not skipped
    assert sharing[0].gradient == 'sum' and sharing[0].init == 'linear'
    for stage in (*rounds, *sharing):
        for scheduler in stage.training.param_scheduler or []:
            assert scheduler['type'] == 'CosineAnnealingLR' and 'end' not in scheduler


@pytest.mark.parametrize('name', NAMES)
def test_begins_where_the_dense_config_ends(name):
    cfg = load(name)
    dense_name = Path(cfg.load_from).parent.name
    dense = Config.fromfile(CONFIGS / 'ssd' / f'{dense_name}.py')
    assert dense_name == name.removesuffix('_after_lcp')
    assert cfg.load_from == f'work_dirs/{dense_name}/epoch_{dense.train_cfg.max_epochs}.pth'
    assert cfg.model == dense.model
    assert type(build(name)).__module__.startswith('mmdet.')
    assert (
        cfg.runner_type == f'mmdet_lcp.{"Chain" if name in CHAINS else "WeightCompression"}Runner'
    )


@pytest.mark.parametrize('name', ['ssd300_vgg16_voc0712', 'ssd300_vgg16_coco'])
def test_former_fully_connected_layers(name):
    """conv6 and conv7 hold VGG-16's fc6 and fc7: 5 bits, and more of them goes."""
    former = [
        path
        for path, layer in weight_layers(build(name)).items()
        if path.startswith('backbone.') and layer.out_channels == 1024
    ]
    assert len(former) == 2
    found = stages_of(name)
    (stage,) = found['share'][0]
    assert {path: bits for path, bits in stage.bits.items() if bits != 8} == dict.fromkeys(
        former, 5
    )
    asked = found['mask'][0][-1].asked
    assert {path for path in asked if asked[path] == 0.96} == set(former)
    assert all(asked[path] == 0.9 for path in asked if path not in former)
    assert load(name).train_dataloader.dataset.times == 1


@pytest.mark.parametrize('name', CHAINS)
def test_chains(name):
    cfg = copy.deepcopy(load(name))
    cfg.work_dir = 'work_dirs/chain'
    chain = ChainRunner(cfg)
    assert [link.name for link in chain.links] == ['1_pruning', '2_weight_compression']
    first, second = (chain.link_config(link) for link in chain.links)
    pruning = PruningConfig.from_cfg(first)
    assert pruning.ratio == 0.7 and pruning.retrain.mimic is not None
    assert KEY not in first and 'pruning' not in second and 'chain' not in {**first, **second}
    assert second.load_from == 'work_dirs/chain/1_pruning/pruned.pth'
    alone = load(name.removesuffix('_after_lcp'))[KEY]
    changed = {
        (method, key)
        for method, given in cfg[KEY].methods.items()
        for key in given
        if given[key] != alone.methods[method].get(key)
    }
    assert changed == {('mask', 'sparsity')}


@pytest.mark.parametrize('fragment', FRAGMENTS)
def test_a_users_own_config_inherits_one_fragment(fragment, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = ['mmdet_lcp::ssd/ssd_r18_narrow_bccd.py', "
        f"'mmdet_lcp::_base_/weight_compression/{fragment}.py']\n"
    )
    cfg = Config.fromfile(path)
    assert cfg.runner_type == 'mmdet_lcp.WeightCompressionRunner'
    config = WeightCompressionConfig.from_cfg(cfg)
    kinds = [type(method) for method in config.methods.values()]
    assert (
        kinds
        == {
            'connection_pruning': [ConnectionPruning],
            'weight_sharing': [WeightSharing],
            'deep_compression': [ConnectionPruning, WeightSharing],
        }[fragment]
    )
    # what the third fragment repeats is what the second one says
    alone = Config.fromfile(CONFIGS / '_base_/weight_compression/weight_sharing.py')
    if WeightSharing in kinds:
        assert cfg[KEY].methods.share == alone[KEY].methods.share


def test_a_method_is_left_out_from_the_command_line():
    cfg = copy.deepcopy(load('ssd_narrow_vgg_bccd'))
    cfg.merge_from_dict({f'{KEY}.methods.mask': None, f'{KEY}.methods.share.bits': 4})
    config = WeightCompressionConfig.from_cfg(cfg)
    assert list(config.methods) == ['share'] and config.methods['share'].bits == 4


def test_readme_lists_every_config_and_every_key():
    readme = (CONFIGS / 'deep_compression' / 'README.md').read_text()
    for name in NAMES:
        assert f'({name}.py)' in readme
    for fragment in FRAGMENTS:
        assert f'_base_/weight_compression/{fragment}.py' in readme
    for kind in (ConnectionPruning, WeightSharing):
        section = readme.split(f'`mmdet_lcp.{kind.__name__}`')[1].split('\n#')[0]
        for key in inspect.signature(kind).parameters:
            assert re.search(rf'`{key}`', section), f'{kind.__name__}.{key}'
    for key in inspect.signature(PackSettings).parameters:
        assert f'`pack.{key}`' in readme, key
    for key in inspect.signature(WeightCompressionConfig).parameters:
        assert re.search(rf'`{key}[`.]', readme), key
    assert WeightCompressionRunner.__name__ in readme
