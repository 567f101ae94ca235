# BDNN on Faster R-CNN with ResNet-50 and FPN, COCO 2017: binary weights, a scale a channel.
_base_ = [
    '../faster_rcnn/faster_rcnn_r50_fpn_coco.py',
    '../_base_/weight_compression/low_bit.py',
]

load_from = 'work_dirs/faster_rcnn_r50_fpn_coco/epoch_12.pth'

# Binary layers are trained, and what they give has other means and variances than before.
model = dict(backbone=dict(frozen_stages=-1, norm_eval=False))
train_dataloader = dict(batch_size=8)

weight_compression = dict(
    methods=dict(low_bit=dict(scale='channel', training=dict(max_epochs=2, lr=0.01)))
)
