# LCP on Faster R-CNN with VGG-16, Pascal VOC 07+12: conv1_1 to conv5_3, half of the channels of
# each. The paper has no schedule for Faster R-CNN; here a group gets one pass over the images, and
# the retraining is as long as the dense training.
_base_ = ['../faster_rcnn/faster_rcnn_vgg16_voc0712.py', '../_base_/pruning/lcp_vgg16.py']

load_from = 'work_dirs/faster_rcnn_vgg16_voc0712/epoch_4.pth'

# conv1 and conv2 are trained along, as they lose channels too.
model = dict(backbone=dict(frozen_stages=-1))
train_dataloader = dict(dataset=dict(times=1))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

pruning = dict(
    finetune=dict(max_epochs=1, lr=5e-4, param_scheduler=None),
    retrain=dict(
        max_epochs=12,
        max_iters=None,
        lr=0.005,
        param_scheduler=[dict(type='MultiStepLR', milestones=[8, 11])],
    ),
)
