# LCP on SSD300 with ResNet-50, Pascal VOC 07+12, with the paper's ratio and schedules.
_base_ = ['../ssd/ssd300_r50_voc0712.py', '../_base_/pruning/lcp_r50.py']

load_from = 'work_dirs/ssd300_r50_voc0712/epoch_24.pth'

# An epoch is one pass over the 16 551 images (the dense config's are ten); 32 images at once, as
# SSD is usually trained, is our reading.
train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
