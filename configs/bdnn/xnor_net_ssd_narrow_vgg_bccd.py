# XNOR-Net on a quarter-width VGG-16 SSD, blood cells at 192x192, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/weight_compression/xnor_net.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'

optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
weight_compression = dict(methods=dict(xnor_net=dict(training=dict(max_epochs=8))))
