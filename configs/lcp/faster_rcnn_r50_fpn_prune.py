# LCP on Faster R-CNN with ResNet-50 and FPN, Pascal VOC 07+12: the channels inside the bottlenecks
# of all five stages. The paper has no schedule for Faster R-CNN; here a group gets one pass over
# the images, and the retraining is as long as the dense training.
_base_ = ['../faster_rcnn/faster_rcnn_r50_fpn_voc0712.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/faster_rcnn_r50_fpn_voc0712/epoch_4.pth'

# The stem and the first stage are trained along, as they lose channels too.
model = dict(backbone=dict(frozen_stages=-1))
train_dataloader = dict(dataset=dict(times=1))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

pruning = dict(
    stages=(1, 2, 3, 4, 5),
    finetune=dict(max_epochs=1, lr=1e-3, param_scheduler=None),
    retrain=dict(
        max_epochs=12,
        max_iters=None,
        lr=0.01,
        param_scheduler=[dict(type='MultiStepLR', milestones=[8, 11])],
    ),
)
