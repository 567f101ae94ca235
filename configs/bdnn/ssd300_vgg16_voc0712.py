# BDNN on SSD300 with VGG-16, Pascal VOC 07+12: binary weights in seven blocks (conv1-2, conv2-x to
# conv5-x, fc6 and fc7, the extra layers). The article names no schedule; twelve passes over the
# images a block are ours.
_base_ = ['../ssd/ssd300_vgg16_voc0712.py', '../_base_/weight_compression/low_bit.py']

load_from = 'work_dirs/ssd300_vgg16_voc0712/epoch_24.pth'

train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)
