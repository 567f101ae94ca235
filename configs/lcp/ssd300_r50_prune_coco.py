# LCP on SSD300 with ResNet-50, COCO 2017. An epoch is one pass over seven times as many images as
# VOC 07+12 has, so the epochs before each layer are fewer.
_base_ = ['../ssd/ssd300_r50_coco.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/ssd300_r50_coco/epoch_13.pth'

train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

pruning = dict(
    finetune=dict(
        max_epochs=3,
        param_scheduler=[dict(type='MultiStepLR', milestones=[1, 2])],
    ),
)
