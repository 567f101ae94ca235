# BDNN on Faster R-CNN with VGG-16, Pascal VOC 07+12: binary weights. Stages conv1-2, conv2-x to
# conv5-x, then what is left of the RoI head.
_base_ = [
    '../faster_rcnn/faster_rcnn_vgg16_voc0712.py',
    '../_base_/weight_compression/low_bit.py',
]

load_from = 'work_dirs/faster_rcnn_vgg16_voc0712/epoch_4.pth'

model = dict(backbone=dict(frozen_stages=-1))
train_dataloader = dict(dataset=dict(times=1))

weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=6))))
