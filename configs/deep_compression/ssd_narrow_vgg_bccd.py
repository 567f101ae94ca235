# Deep Compression of SSD on a quarter-width VGG-16, blood cells at 192x192, on a CPU.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/weight_compression/deep_compression.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'

weight_compression = dict(
    methods=dict(
        mask=dict(
            sparsity=0.8,  # a narrow detector has less to spare than VGG-16's nine of ten
            training=dict(max_epochs=2, lr=1e-2),
            last_training=dict(max_epochs=8, lr=1e-2),
        ),
        share=dict(training=dict(max_epochs=2)),
    ),
)
