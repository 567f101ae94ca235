"""SSD model configs: levels, default boxes, channels, sizes; they train and predict."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import mmdet_lcp.models.narrow_vgg  # noqa: F401
from mmdet_lcp import compat

compat.apply()
CONFIGS = Path(__file__).parents[2] / 'configs'
MODEL_CONFIGS = CONFIGS / '_base_' / 'models'


def build(name: str, **changes):
    cfg = Config.fromfile(MODEL_CONFIGS / f'{name}.py')
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    cfg = cfg.model
    cfg.backbone.pop('init_cfg', None)  # no download
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg)


def levels(detector, size: int) -> tuple[list[tuple[int, int]], list[int], int]:
    """(feature sizes, channels, number of default boxes) at ``size`` x ``size`` pixels."""
    detector.eval()
    with torch.no_grad():
        maps = detector.extract_feat(torch.rand(1, 3, size, size))
    sizes = [tuple(m.shape[-2:]) for m in maps]
    priors = detector.bbox_head.prior_generator.grid_priors(sizes, device='cpu')
    return sizes, [m.shape[1] for m in maps], sum(len(p) for p in priors)


def batch(size: int, num_classes: int):
    torch.manual_seed(0)
    samples = []
    for _ in range(2):
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(size, size),
                ori_shape=(size, size),
                batch_input_shape=(size, size),
                pad_shape=(size, size),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[20.0, 30.0, 60.0, 80.0], [90.0, 10.0, 120.0, 50.0]]),
            labels=torch.tensor([0, num_classes - 1]),
        )
        samples.append(sample)
    return torch.rand(2, 3, size, size), samples


SSD300_SIZES = [(n, n) for n in (38, 19, 10, 5, 3, 1)]


@pytest.mark.parametrize(
    ('name', 'size', 'sizes', 'channels', 'boxes'),
    [
        ('ssd300_vgg16', 300, SSD300_SIZES, [512, 1024, 512, 256, 256, 256], 8732),
        ('ssd300_r50', 300, SSD300_SIZES, [1024, 512, 512, 256, 256, 256], 8732),
        (
            'ssd512_vgg16',
            512,
            [(n, n) for n in (64, 32, 16, 8, 4, 2, 1)],
            [512, 1024, 512, 256, 256, 256, 256],
            24564,
        ),
        (
            'ssd_narrow_vgg',
            192,
            [(n, n) for n in (24, 12, 6, 3)],
            [128, 128, 128, 64],
            4 * (24**2 + 12**2 + 6**2 + 3**2),
        ),
        (
            'ssd_r18_narrow',
            192,
            [(n, n) for n in (24, 12, 6, 3)],
            [32, 128, 128, 64],
            4 * (24**2 + 12**2 + 6**2 + 3**2),
        ),
    ],
)
def test_levels_and_default_boxes(name, size, sizes, channels, boxes):
    detector = build(name)
    assert levels(detector, size) == (sizes, channels, boxes)
    assert list(detector.bbox_head.in_channels) == channels


def conv(cin: int, cout: int, k: int, bias: bool = True) -> int:
    return cin * cout * k * k + (cout if bias else 0)


def test_parameters_of_ssd300_vgg16_for_coco():
    """The hand computation of Liu et al.'s network for 80 classes and background."""
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    backbone = sum(conv(a, b, 3) for a, b in pairwise(widths))
    backbone += conv(512, 1024, 3) + conv(1024, 1024, 1)
    extra = sum(
        conv(cin, cout // 2, 1) + conv(cout // 2, cout, 3)
        for cin, cout in [(1024, 512), (512, 256), (256, 256), (256, 256)]
    )
    heads = sum(
        conv(c, priors * (81 + 4), 3)
        for c, priors in zip((512, 1024, 512, 256, 256, 256), (4, 6, 6, 6, 4, 4), strict=True)
    )
    detector = build('ssd300_vgg16')
    assert sum(p.numel() for p in detector.backbone.parameters()) == backbone
    assert sum(p.numel() for p in detector.neck.parameters()) == extra + 512  # L2 norm's scale
    assert sum(p.numel() for p in detector.bbox_head.parameters()) == heads
    assert backbone + extra + 512 + heads == 34_305_206


def test_ssd300_r50_is_nvidias():
    detector = build('ssd300_r50')
    backbone = detector.backbone
    assert not hasattr(backbone, 'layer4')
    strides = [m.stride for m in backbone.layer3[0].modules() if isinstance(m, torch.nn.Conv2d)]
    assert set(strides) == {(1, 1)}  # the shortcut's too
    # torchvision's ResNet-50 without conv5_x (14 964 736) and without the classifier
    assert sum(p.numel() for p in backbone.parameters()) == 25_557_032 - 14_964_736 - 2_049_000
    extra = [
        [(block.conv.in_channels, block.conv.out_channels) for block in level]
        for level in detector.neck.extra_layers
    ]
    assert extra == [
        [(1024, 256), (256, 512)],
        [(512, 256), (256, 512)],
        [(512, 128), (128, 256)],
        [(256, 128), (128, 256)],
        [(256, 128), (128, 256)],
    ]
    last = [level[1].conv for level in detector.neck.extra_layers]
    assert [c.stride[0] for c in last] == [2, 2, 2, 1, 1]
    assert [c.padding[0] for c in last] == [1, 1, 1, 0, 0]
    assert all(block.with_norm for level in detector.neck.extra_layers for block in level)
    assert not hasattr(detector.neck, 'l2_norm')
    kernels = {
        c.kernel_size for c in detector.bbox_head.modules() if isinstance(c, torch.nn.Conv2d)
    }
    assert kernels == {(3, 3)}


@pytest.mark.parametrize('name', ['ssd_narrow_vgg', 'ssd_r18_narrow'])
def test_small_detectors_train_and_predict(name):
    detector = build(name)
    detector.init_weights()
    images, samples = batch(192, num_classes=80)
    detector.train()
    losses = detector.loss(images, samples)
    total = sum(sum(values) for values in losses.values())
    assert torch.isfinite(total)
    total.backward()
    silent = [n for n, p in detector.named_parameters() if p.grad is None]
    assert not silent
    detector.eval()
    with torch.no_grad():
        found = detector.predict(images, samples)
    for sample in found:
        instances = sample.pred_instances
        assert instances.bboxes.shape == (len(instances), 4)
        assert torch.all((instances.scores >= 0.02) & (instances.scores <= 1))
        assert torch.all((instances.labels >= 0) & (instances.labels < 80))


@pytest.mark.parametrize('name', ['ssd_narrow_vgg', 'ssd_r18_narrow'])
def test_parameters_get_smaller_with_fewer_classes(name):
    detector = build(name)
    few = build(name, **{'bbox_head.num_classes': 3})
    cells = sum(
        c * 9 * n + n for c, n in zip(detector.bbox_head.in_channels, [4 * 77] * 4, strict=True)
    )
    count = lambda d: sum(p.numel() for p in d.parameters())
    assert count(detector) - count(few) == cells


DENSE = sorted((CONFIGS / 'ssd').glob('*.py'))


def resized_to(pipeline) -> list[tuple[int, int]]:
    return [tuple(step['scale']) for step in pipeline if step['type'] == 'Resize']


def innermost(dataset):
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset


@pytest.mark.parametrize('path', DENSE, ids=lambda path: path.stem)
def test_dense_configs_agree_with_their_data(path):
    cfg = Config.fromfile(path)
    head = cfg.model.bbox_head
    assert head.num_classes == cfg.num_classes
    size = (cfg.image_size, cfg.image_size)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert resized_to(innermost(loader.dataset).pipeline) == [size]
    assert head.anchor_generator.get('input_size', cfg.image_size) == cfg.image_size
    hooks = [hook.type for hook in cfg.get('custom_hooks', [])]
    assert 'mmdet_lcp.DropDegenerateBoxesHook' in hooks
    assert max(s.end for s in cfg.param_scheduler if s.by_epoch) == cfg.train_cfg.max_epochs
    assert f'({path.name})' in (path.parent / 'README.md').read_text()


def test_every_dense_config_is_found():
    assert len(DENSE) == 20
