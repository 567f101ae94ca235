"""The configs of Faster R-CNN: dense detectors, and LCP on them."""

import copy
import functools
import re
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.engine.preflight import check_runner_keys
from mmdet_lcp.graph import find_groups
from mmdet_lcp.measure.cost import module_macs
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.frozen_layers import frozen_layer_messages
from mmdet_lcp.pruning.stages import choose_stages

register_all_modules()

CONFIGS = Path(__file__).parents[2] / 'configs'
DENSE = [path.stem for path in sorted((CONFIGS / 'faster_rcnn').glob('*.py'))]
PRUNING = [path.stem for path in sorted((CONFIGS / 'lcp').glob('*faster_rcnn*.py'))]
# The channels are the same whatever the size of the image that is traced.
SIZE = (160, 160)


@functools.cache
def load(name: str) -> Config:
    folder = 'lcp' if name in PRUNING else 'faster_rcnn'
    return Config.fromfile(CONFIGS / folder / f'{name}.py')


def build(name: str):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(load(name).model))


def mmdets_own(name: str) -> Config:
    return Config.fromfile(Path(mmdet.__file__).parent / '.mim' / 'configs' / f'{name}.py')


def test_all_are_found():
    assert len(DENSE) == 8 + 2 * 4
    assert len(PRUNING) == 10


@pytest.mark.parametrize('name', [*DENSE, *PRUNING])
def test_builds_a_plain_detector(name):
    cfg = load(name)
    detector = build(name)
    assert type(detector).__name__ == 'FasterRCNN'
    assert type(detector).__module__.startswith('mmdet.')
    classes = cfg.train_dataloader.dataset
    while 'dataset' in classes:
        classes = classes.dataset
    kinds = {'XMLDataset': 3, 'VOCDataset': 20, 'CocoDataset': 80}
    expected = kinds[classes.datasets[0].type if 'datasets' in classes else classes.type]
    if 'digits' in name or 'txlpbc' in name:
        expected = 10 if 'digits' in name else 3
    assert detector.roi_head.bbox_head.num_classes == expected
    assert detector.rpn_head.num_classes == 1
    assert (KEY in cfg) == ('runner_type' in cfg) == (name in PRUNING)
    for key in ('val_dataloader', 'test_dataloader', 'val_evaluator'):
        assert key in cfg
    check_runner_keys({**cfg, 'load_from': __file__}, resumed=False)


@pytest.mark.parametrize(
    ('name', 'other'),
    [
        ('r50_fpn_voc0712', 'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712'),
        ('r50_caffe_c4_voc0712', 'pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712'),
        ('r50_fpn_coco', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco'),
        ('r50_caffe_c4_coco', 'faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco'),
    ],
)
def test_models_are_mmdets_own(name, other):
    cfg, own = load(f'faster_rcnn_{name}'), mmdets_own(other)
    assert plain(cfg.model) == plain(own.model)
    if 'coco' in name:
        for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
            assert plain(cfg[key]) == plain(own[key]), key


def plain(value):
    """Without the scope that mmengine notes down in what comes from another package."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != '_scope_'}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_vgg16_is_that_of_the_paper():
    detector = build('faster_rcnn_vgg16_voc0712')
    head = detector.roi_head.bbox_head
    assert [fc.weight.shape for fc in head.shared_fcs] == [(4096, 512 * 7 * 7), (4096, 4096)]
    assert detector.rpn_head.rpn_conv.weight.shape == (512, 512, 3, 3)
    assert detector.rpn_head.num_anchors == 9
    macs = module_macs(detector.eval(), SIZE)
    convs = {path: value for path, value in macs.items() if path.startswith('backbone.')}
    assert len(convs) == 13
    # conv1_1 by hand: kernels of 3 x 3 x 3, 64 filters, every pixel
    assert convs['backbone.features.0'] == 27 * 64 * SIZE[0] * SIZE[1]
    assert not detector.with_neck
    frozen = [n for n, p in detector.named_parameters() if not p.requires_grad]
    assert {name.split('.')[2] for name in frozen} == {'0', '2', '5', '7'}  # conv1 and conv2


@pytest.mark.parametrize('data', ['bccd', 'digits', 'fpn_coco', 'fpn_voc0712'])
@pytest.mark.parametrize('backbone', ['mobilenet_v1', 'shufflenet_v1'])
def test_compact_backbones_take_the_place_of_the_resnet(backbone, data):
    """The same detector otherwise, whose pyramid reads strides 4, 8, 16 and 32."""
    name = f'faster_rcnn_{backbone}_{data}'
    other = f'faster_rcnn_r18_narrow_{data}' if data in ('bccd', 'digits') else None
    cfg, same = load(name), load(other or f'faster_rcnn_r50_{data}')
    for key in ('rpn_head', 'roi_head', 'train_cfg', 'test_cfg', 'data_preprocessor'):
        assert plain(cfg.model[key]) == plain(same.model[key])
    assert cfg.train_cfg == same.train_cfg and cfg.param_scheduler == same.param_scheduler
    detector = build(name).eval()
    with torch.no_grad():
        maps = detector.backbone(torch.zeros(1, 3, 64, 96))
        assert [m.shape[2:] for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
        assert len(detector.neck(maps)) == detector.neck.num_outs
    assert [m.shape[1] for m in maps] == list(cfg.model.neck.in_channels)


@pytest.mark.parametrize('name', PRUNING)
def test_prunes_the_groups_it_should(name):
    cfg = load(name)
    detector = build(name)
    config = PruningConfig.from_cfg(cfg)
    # a stage of ResNet-50 on each of a thousand regions takes a minute; the groups are the same
    detector.train_cfg.rpn_proposal.max_per_img = detector.test_cfg.rpn.max_per_img = 20
    stages, skipped = choose_stages(detector, find_groups(detector, SIZE), config)
    names = [stage.group.name for stage in stages]
    if name.startswith('compare'):
        parts = {path.split('.')[0] for path in names}
        assert parts == {'backbone', 'neck', 'rpn_head', 'roi_head'}
        assert {item.name for item in skipped} == {
            'rpn_head.rpn_cls',
            'rpn_head.rpn_reg',
            'roi_head.bbox_head.fc_cls',
            'roi_head.bbox_head.fc_reg',
        }
    else:
        assert all(path.startswith('backbone.') for path in names)
        expected = {
            'r18': 4 * 2,  # the first convolution of each block
            'c4': 1 + (3 + 4 + 6) * 2,  # the stem, two groups inside each bottleneck
            'fpn': 1 + (3 + 4 + 6 + 3) * 2,
            'vgg16': 13,
        }
        kind = next(key for key in expected if key in name)
        assert len(names) == expected[kind]
        config.attachment.check(detector, stages)
        network = config.attachment.attach(detector, stages, 0).network
        assert network.num_classes == detector.roi_head.bbox_head.num_classes
    for stage in stages:
        assert stage.keep == int(stage.group.channels * 0.5 + 0.5)
        config.criterion.check(detector, stage.group)
    # mmdet freezes the first stages, the pruning configs do not: what loses channels is trained.
    frozen = load(Path(cfg.load_from).parent.name).model.backbone.frozen_stages
    assert frozen == (-1 if 'narrow' in name or 'compare' in name else 2 if 'vgg' in name else 1)
    assert cfg.model.backbone.frozen_stages == -1
    messages = frozen_layer_messages(detector, stages, 'best')
    assert not any('layers that lose channels are frozen' in text for text in messages)


@pytest.mark.parametrize('name', PRUNING)
def test_schedules_end_within_their_phase(name):
    pruning = load(name)[KEY]
    for phase in (pruning.finetune, pruning.retrain):
        for scheduler in phase.get('param_scheduler') or []:
            assert phase.get('max_epochs') is not None
            assert all(m < phase.max_epochs for m in scheduler.get('milestones', []))
    config = PruningConfig.from_cfg(load(name))
    for phase in (config.finetune, config.retrain):
        assert (phase.max_epochs is None) != (phase.max_iters is None)


@pytest.mark.parametrize('name', PRUNING)
def test_load_from_is_where_the_dense_config_ends(name):
    cfg = load(name)
    dense_name = Path(cfg.load_from).parent.name
    dense = load(dense_name)
    assert cfg.load_from == f'work_dirs/{dense_name}/epoch_{dense.train_cfg.max_epochs}.pth'
    # The same detector, but that stages which are frozen in the dense one are trained here.
    model = copy.deepcopy(cfg.model)
    model.backbone.frozen_stages = dense.model.backbone.frozen_stages
    assert model == dense.model


@pytest.mark.parametrize('name', ['r50_fpn', 'r50_caffe_c4', 'vgg16'])
def test_an_epoch_is_one_pass(name):
    dataset = load(f'faster_rcnn_{name}_prune').train_dataloader.dataset
    dense = load(f'faster_rcnn_{name}_voc0712')
    assert (dataset.times, dense.train_dataloader.dataset.times) == (1, 3)
    # The retraining is as long as the dense training.
    passes = load(f'faster_rcnn_{name}_prune')[KEY].retrain.max_epochs
    assert passes == 3 * dense.train_cfg.max_epochs


@pytest.mark.parametrize('name', ['bccd', 'digits'])
def test_the_narrow_detector_is_small_and_nothing_in_it_is_frozen(name):
    cfg = load(f'faster_rcnn_r18_narrow_{name}')
    assert max(cfg.scale) <= 320
    detector = build(f'faster_rcnn_r18_narrow_{name}').train()
    assert all(p.requires_grad for p in detector.parameters())
    assert all(module.training for module in detector.modules())
    assert sum(p.numel() for p in detector.parameters()) < 2e6
    # Each level of the pyramid has its anchors and its regions.
    assert len(detector.rpn_head.prior_generator.strides) == detector.neck.num_outs == 4


@pytest.mark.parametrize('boxes', ['anchors', 'proposals'])
def test_boxes_from_the_command_line(boxes):
    cfg = Config.fromfile(CONFIGS / 'lcp' / 'faster_rcnn_r18_narrow_prune_bccd.py')
    cfg.merge_from_dict({'pruning.attachment.boxes': boxes})
    attachment = PruningConfig.from_cfg(cfg).attachment
    sampler = attachment.sampler(build('faster_rcnn_r18_narrow_bccd'))
    assert bool(sampler.paths) == (boxes == 'anchors')


def test_readmes_list_every_config_and_every_key():
    dense = (CONFIGS / 'faster_rcnn' / 'README.md').read_text()
    lcp = (CONFIGS / 'lcp' / 'README.md').read_text()
    for name in DENSE:
        assert f'({name}.py)' in dense
    for name in PRUNING:
        assert f'({name}.py)' in lcp
    for key in ('boxes', 'neg_pos_ratio', 'max_positives'):
        assert re.search(rf'`attachment\.{key}`', lcp), key
    assert 'faster_rcnn/README.md' in (CONFIGS / 'README.md').read_text()
