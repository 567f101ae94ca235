# LCP, then binary weights, in one chain: SSD on a quarter-width VGG-16, the built-in digits at
# 160x160, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/chain/lcp_low_bit.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

pruning = dict(retrain=dict(max_epochs=3))
weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=2, lr=0.01))))
