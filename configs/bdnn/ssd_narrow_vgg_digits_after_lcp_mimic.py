# LCP, a teacher beside the retraining, then binary weights, in one chain: SSD on a quarter-width
# VGG-16, the built-in digits at 160x160, on a CPU. The teacher is the dense detector.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/chain/lcp_mimic_low_bit.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

mimic = dict(
    teacher=dict(
        config='configs/ssd/ssd_narrow_vgg_digits.py',
        checkpoint='work_dirs/ssd_narrow_vgg_digits/epoch_8.pth',
    )
)
weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=2, lr=0.01))))
