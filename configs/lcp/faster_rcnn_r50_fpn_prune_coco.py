# LCP on Faster R-CNN with ResNet-50 and FPN, COCO 2017. An epoch is seven times as many images as
# VOC 07+12 has, so a group gets a part of one.
_base_ = ['../faster_rcnn/faster_rcnn_r50_fpn_coco.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/faster_rcnn_r50_fpn_coco/epoch_12.pth'

# The stem and the first stage are trained along, as they lose channels too.
model = dict(backbone=dict(frozen_stages=-1))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

pruning = dict(
    stages=(1, 2, 3, 4, 5),
    finetune=dict(max_epochs=None, max_iters=2000, lr=2e-3, param_scheduler=None),
    retrain=dict(
        max_epochs=12,
        max_iters=None,
        lr=0.02,
        param_scheduler=[dict(type='MultiStepLR', milestones=[8, 11])],
    ),
)
