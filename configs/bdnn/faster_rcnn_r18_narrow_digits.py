# BDNN on the narrow Faster R-CNN, the built-in digits at 160x160, on a CPU: binary weights.
# Other widths: --cfg-options weight_compression.methods.low_bit.bits=2
# All layers at once: --cfg-options weight_compression.methods.low_bit.schedule=all_at_once
_base_ = [
    '../faster_rcnn/faster_rcnn_r18_narrow_digits.py',
    '../_base_/weight_compression/low_bit.py',
]

load_from = 'work_dirs/faster_rcnn_r18_narrow_digits/epoch_16.pth'

weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=2, lr=0.01))))
