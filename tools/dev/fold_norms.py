"""Fold the batch norms of a trained ssd_narrow_vgg into its convolutions: the same without norms.

python tools/dev/fold_norms.py configs/ssd/ssd_narrow_vgg_bccd.py dense.pth folded.pth

The result fits the same config with model.backbone.norm_cfg=None model.neck.norm_cfg=None.
"""

import sys
from pathlib import Path

import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.files import load_torch


def main(config: str, checkpoint: str, out: str) -> None:
    """Fold, and compare the outputs of both detectors."""
    register_all_modules()
    cfg = Config.fromfile(config)
    detector = MODELS.build(cfg.model).eval()
    meta = load_detector(detector, checkpoint)
    image = torch.rand(1, 3, 192, 192)
    with torch.no_grad():
        expected = detector(image)
    folded = fuse_conv_bn(detector)
    cfg.merge_from_dict({'model.backbone.norm_cfg': None, 'model.neck.norm_cfg': None})
    plain = MODELS.build(cfg.model).eval()
    torch.save({'meta': meta, 'state_dict': folded.state_dict()}, out)
    load_detector(plain, Path(out))
    with torch.no_grad():
        found = plain(image)
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    names = len(load_torch(out)['state_dict'])
    print(f'{out}: {names} tensors, the outputs are the same')


if __name__ == '__main__':
    main(*sys.argv[1:])
