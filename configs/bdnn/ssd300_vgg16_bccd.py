# BDNN on SSD300 with VGG-16 for blood cells at 300x300, from random weights (a GPU's work):
# binary weights in seven blocks, four passes over the images each.
_base_ = [
    '../ssd/ssd300_vgg16_scratch_bccd.py',
    '../_base_/weight_compression/low_bit.py',
]

load_from = 'work_dirs/ssd300_vgg16_scratch_bccd/epoch_80.pth'

weight_compression = dict(methods=dict(low_bit=dict(training=dict(max_epochs=4, lr=3e-3))))
