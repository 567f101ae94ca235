# LCP on Faster R-CNN with ResNet-50 up to conv4_x, Pascal VOC 07+12: the channels inside the
# bottlenecks of the backbone; conv5_x, which runs on regions, stays. The paper has no schedule for
# Faster R-CNN; here a group gets one pass over the images, and the retraining is as long as the
# dense training.
_base_ = ['../faster_rcnn/faster_rcnn_r50_caffe_c4_voc0712.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/faster_rcnn_r50_caffe_c4_voc0712/epoch_4.pth'

# The stem and the first stage are trained along, as they lose channels too.
model = dict(backbone=dict(frozen_stages=-1))
train_dataloader = dict(dataset=dict(times=1))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

pruning = dict(
    finetune=dict(max_epochs=1, lr=1e-3, param_scheduler=None),
    retrain=dict(
        max_epochs=12,
        max_iters=None,
        lr=0.01,
        param_scheduler=[dict(type='MultiStepLR', milestones=[8, 11])],
    ),
)
