# Deep Compression of SSD on a quarter-width VGG-16, the built-in digits at 160x160, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/weight_compression/deep_compression.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

weight_compression = dict(
    methods=dict(
        mask=dict(
            sparsity=0.8,
            training=dict(max_epochs=1, lr=1e-2),
            last_training=dict(max_epochs=3, lr=1e-2),
        ),
        share=dict(training=dict(max_epochs=1)),
    ),
)
