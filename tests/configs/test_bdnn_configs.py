"""Every config of low-bit weights loads, builds its detector, and lays out its blocks."""

import copy
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.chain.runner import ChainRunner
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.weight_compression import BinaryNet, LowBitWeights, XNORNet
from mmdet_lcp.weight_compression.blockwise import BlockwiseMethod
from mmdet_lcp.weight_compression.config import WeightCompressionConfig

register_all_modules()

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs' / 'bdnn'
CHAINS = sorted(path.stem for path in FOLDER.glob('*_after_*.py'))
NAMES = sorted({path.stem for path in FOLDER.glob('*.py')} - set(CHAINS))


def load(name: str) -> tuple[Config, BlockwiseMethod]:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    (method,) = WeightCompressionConfig.from_cfg(cfg).methods.values()
    return cfg, method


def test_all_are_there():
    for data in ('bccd', 'digits'):
        assert f'faster_rcnn_r18_narrow_{data}' in NAMES
        for method in ('', 'binary_net_', 'xnor_net_'):
            assert f'{method}ssd_narrow_vgg_{data}' in NAMES
    for name in ('ssd300_vgg16_voc0712', 'ssd300_vgg16_coco', 'faster_rcnn_r50_fpn_voc0712'):
        assert name in NAMES


@pytest.mark.parametrize('name', NAMES)
def test_config(name):
    cfg, method = load(name)
    assert cfg.runner_type == 'mmdet_lcp.WeightCompressionRunner'
    kind = {'bin': BinaryNet, 'xno': XNORNet}.get(name[:3], LowBitWeights)
    assert type(method) is kind
    if kind is not LowBitWeights:  # as the papers train
        assert cfg.optim_wrapper.optimizer.type == 'Adam'
    # It begins with what training the detector's own config leaves behind.
    dense = cfg.load_from.split('/')[1]
    folder = 'ssd' if dense.startswith('ssd') else 'faster_rcnn'
    own = Config.fromfile(ROOT / 'configs' / folder / f'{dense}.py')
    assert cfg.load_from == f'work_dirs/{dense}/epoch_{own.train_cfg.max_epochs}.pth'
    assert cfg.model.backbone.type == own.model.backbone.type
    model = copy.deepcopy(cfg.model)
    detector = MODELS.build(model)
    stages, skipped = method.stages(detector, 'x')
    assert 6 <= len(stages) <= 7
    changed = {path for stage in stages for path in stage.layers}
    for path in changed:  # what is changed is trained
        assert detector.get_submodule(path).weight.requires_grad
    kept = {item.name for item in skipped}
    assert not any('cls_convs' in path or 'fc_cls' in path or 'rpn' in path for path in changed)
    if 'ssd300_vgg16' in name:
        assert kept == {'backbone.features.0'} | {
            f'bbox_head.{kind}_convs.{level}.0' for kind in ('cls', 'reg') for level in range(6)
        }
    method.schedule = 'all_at_once'
    (whole,), _ = method.stages(detector, 'x')
    assert set(whole.layers) == changed
    assert whole.training.max_epochs == sum(stage.training.max_epochs for stage in stages)


def test_chains_are_there():
    assert [f'ssd_narrow_vgg_digits_after_lcp{more}' for more in ('', '_mimic')] == CHAINS


@pytest.mark.parametrize('name', CHAINS)
def test_chain(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    cfg.work_dir = 'work_dirs/chain'
    chain = ChainRunner(cfg)
    three = name.endswith('_mimic')
    names = ['1_pruning', *['2_mimic'] * three, f'{2 + three}_weight_compression']
    assert [link.name for link in chain.links] == names
    links = [chain.link_config(link) for link in chain.links]
    retrain = PruningConfig.from_cfg(links[0]).retrain
    assert (retrain.max_epochs, retrain.mimic is None) == ((0, True) if three else (3, False))
    for link in links:
        assert type(MODELS.build(copy.deepcopy(link.model))).__name__ == 'SingleStageDetector'
    (method,) = WeightCompressionConfig.from_cfg(links[-1]).methods.values()
    alone = load(name.partition('_after')[0])[1]
    assert (method.bits, method.training) == (alone.bits, alone.training)
    if three:
        own = Config.fromfile(ROOT / 'configs' / 'ssd' / 'ssd_narrow_vgg_digits.py')
        assert links[1].load_from == 'work_dirs/chain/1_pruning/pruned.pth'
        (schedule,) = links[1].param_scheduler
        assert links[1].train_cfg.max_epochs == schedule.T_max == own.train_cfg.max_epochs
        assert links[1].mimic.teacher.checkpoint == cfg.load_from
