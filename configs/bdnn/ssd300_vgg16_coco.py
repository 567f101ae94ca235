# BDNN on SSD300 with VGG-16, COCO 2017: binary weights. An epoch is one pass over seven times as
# many images as VOC 07+12 has, so a block gets fewer.
_base_ = ['../ssd/ssd300_vgg16_coco.py', '../_base_/weight_compression/low_bit.py']

load_from = 'work_dirs/ssd300_vgg16_coco/epoch_24.pth'

train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)
weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=3))))
