# XNOR-Net on a quarter-width VGG-16 SSD, the built-in digits at 160x160, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/weight_compression/xnor_net.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
weight_compression = dict(methods=dict(xnor_net=dict(training=dict(max_epochs=2))))
