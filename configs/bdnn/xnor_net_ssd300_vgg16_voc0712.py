# XNOR-Net on SSD300 with VGG-16, Pascal VOC 07+12; schedule as for binary weights alone.
_base_ = ['../ssd/ssd300_vgg16_voc0712.py', '../_base_/weight_compression/xnor_net.py']

load_from = 'work_dirs/ssd300_vgg16_voc0712/epoch_24.pth'

train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4))
weight_compression = dict(methods=dict(xnor_net=dict(training=dict(lr=1e-4))))
