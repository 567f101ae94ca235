import subprocess
import sys
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

ROOT = Path(__file__).parents[2]


def test_the_same_detector_without_norms(tmp_path):
    """The tool itself compares the outputs; here, that norms that do something are gone."""
    config = ROOT / 'configs' / 'ssd' / 'ssd_narrow_vgg_bccd.py'
    detector = MODELS.build(Config.fromfile(config).model)
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    torch.save({'state_dict': detector.state_dict()}, tmp_path / 'dense.pth')
    tool = ROOT / 'tools' / 'dev' / 'fold_norms.py'
    args = [config, tmp_path / 'dense.pth', tmp_path / 'out.pth']
    done = subprocess.run(
        [sys.executable, tool, *args], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'the outputs are the same' in done.stdout
    folded = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert not any('running' in name for name in folded)
