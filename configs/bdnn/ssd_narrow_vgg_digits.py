# BDNN on a quarter-width VGG-16 SSD, the built-in digits at 160x160, on a CPU: binary weights.
# Other widths: --cfg-options weight_compression.methods.low_bit.bits=2
# All layers at once: --cfg-options weight_compression.methods.low_bit.schedule=all_at_once
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/weight_compression/low_bit.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=2, lr=0.01))))
