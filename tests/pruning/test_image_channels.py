"""Detectors of grey images, and of images with a channel more, the whole way."""

import numpy as np
import pytest
import torch
from mmcv.transforms import TRANSFORMS, LoadImageFromFile
from runs import SHORT
from tiny import make_config

from mmdet_lcp.codec import init_packed_detector, pack_detector

CHANNELS = """
model['backbone'].update(in_channels={channels})
model['data_preprocessor'] = dict(_delete_=True, type='DetDataPreprocessor', **{norm})
loading = {loading}
train_pipeline = [
    loading, dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=False), dict(type='PackDetInputs')]
test_pipeline = [
    loading, dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_dataloader['dataset']['pipeline'] = train_pipeline
val_dataloader['dataset']['pipeline'] = test_pipeline
"""
GREY = "dict(type='LoadImageFromFile', color_type='grayscale')"
KINDS = {
    'grey': dict(channels=1, norm='dict(mean=[100.0], std=[50.0])', loading=GREY),
    'four': dict(channels=4, norm='dict()', loading="dict(type='FourChannels')"),
}


@TRANSFORMS.register_module(force=True)
class FourChannels(LoadImageFromFile):
    """As from a camera that sees infrared too."""

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        results['img'] = np.concatenate([results['img'], results['img'][..., :1]], axis=-1)
        return results


@pytest.mark.parametrize('kind', KINDS)
def test_pruned_measured_drawn_and_packed(kind, prune, data, tmp_path):
    channels = KINDS[kind]['channels']
    extra = SHORT.replace('retrain=dict(max_epochs=0)', 'retrain=dict(max_epochs=1)')
    config = make_config(tmp_path, data, kind, extra + CHANNELS.format(**KINDS[kind]))
    run = prune(config)
    assert len(run.report['groups']) == 1
    first = run.weights['backbone.stage1.0.conv.weight']
    assert first.shape[1] == channels
    assert (run.work_dir / 'detections.png').stat().st_size > 10_000
    files = [run.work_dir / name for name in ('pruned.pth', 'pruned_config.py')]
    pack_detector(*files, tmp_path / 'a.lcp')
    opened = init_packed_detector(tmp_path / 'a.lcp', device='cpu')
    image = torch.rand(1, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for found, expected in zip(opened(image), run.detector(image), strict=True):
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one, other)
