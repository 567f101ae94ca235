import json

import torch
from mmengine.config import Config
from torch import nn

from mmdet_lcp.graph import Kept, Plan
from mmdet_lcp.models.pruned_detector import TYPE
from mmdet_lcp.pruning.delivery import deliver, pruned_config

PLAN = Plan({'backbone.conv': {'out_channels': Kept(4, (0, 2, 3))}})


def cfg():
    return Config(
        dict(
            model=dict(
                type='SingleStageDetector',
                backbone=dict(type='X', init_cfg=dict(type='Pretrained', checkpoint='y')),
            ),
            pruning=dict(ratio=0.5),
            runner_type='mmdet_lcp.PruningRunner',
            resume=True,
            load_from='dense.pth',
            train_cfg=dict(max_epochs=2),
        )
    )


def test_pruned_config_is_the_detectors_own_with_another_model(tmp_path):
    pruned = pruned_config(cfg(), PLAN, tmp_path)
    assert not {'pruning', 'runner_type', 'resume'} & set(pruned)
    assert pruned.train_cfg == dict(max_epochs=2)
    assert pruned.load_from == str(tmp_path / 'pruned.pth')
    assert (pruned.model.type, pruned.model.detector) == (TYPE, 'SingleStageDetector')
    assert pruned.model.backbone == dict(type='X')


def test_what_is_written_reads_back(tmp_path):
    detector = nn.Conv2d(3, 2, 1)
    meta = {'dataset_meta': {'classes': ('a', 'b')}}
    size = deliver(cfg(), detector, PLAN, tmp_path, meta)
    saved = torch.load(tmp_path / 'pruned.pth', weights_only=True)
    assert size == (tmp_path / 'pruned.pth').stat().st_size
    assert saved['meta'] == meta
    assert torch.equal(saved['state_dict']['weight'], detector.weight)
    assert Plan.from_dict(json.loads((tmp_path / 'plan.json').read_text())) == PLAN
    read = Config.fromfile(tmp_path / 'pruned_config.py')
    assert Plan.from_dict(read.model.plan) == PLAN
    assert {file.name for file in tmp_path.iterdir()} == {
        'plan.json',
        'pruned.pth',
        'pruned_config.py',
    }
