"""A distilling detector's modes."""

import detectors
import torch
from mmdet.models.detectors import KnowledgeDistillationSingleStageDetector as Distilling
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.hub import get_config

from mmdet_lcp.compat.modes_of_distilling import train_returns_distilling_detector
from mmdet_lcp.graph import find_groups


def tiny_ld():
    """LD, with a teacher as small as itself."""
    cfg = detectors.plain(get_config('mmdet::ld/ld_r18-gflv1-r101_fpn_1x_coco.py').model.to_dict())
    model = ConfigDict(cfg)
    detectors.one_stage(model)
    teacher = {key: model[key] for key in ('backbone', 'neck')}
    head = {**model.bbox_head, 'type': 'GFLHead'}
    for key in ('loss_ld', 'loss_ld_vlr', 'loss_kd', 'imitation_method'):
        head.pop(key, None)
    teacher.update(type='GFL', bbox_head=head, train_cfg=model.train_cfg, test_cfg=model.test_cfg)
    model.update(teacher_config=dict(model=teacher), teacher_ckpt=None)
    return MODELS.build(model)


def test_train_and_eval_return_it_and_the_teacher_keeps_its_mode():
    detector = tiny_ld()
    assert detector.eval() is detector and not detector.training
    assert detector.train() is detector and detector.training
    assert not detector.teacher_model.training
    train = Distilling.train
    train_returns_distilling_detector()  # a second time
    assert Distilling.train is train


def test_the_student_is_pruned_and_not_the_teacher():
    torch.manual_seed(0)
    groups = find_groups(detectors.randomise(tiny_ld()), (64, 64))
    open_ = [group for group in groups if group.obstacle is None]
    assert len(open_) >= 10
    assert not any('teacher' in m.path for group in groups for m in group.members)
