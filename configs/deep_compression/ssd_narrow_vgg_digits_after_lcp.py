# The chain of ssd_narrow_vgg_bccd_after_lcp.py on the built-in digits, which have more images.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/chain/lcp_deep_compression.py']

load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

pruning = dict(retrain=dict(max_epochs=3))
weight_compression = dict(
    methods=dict(
        mask=dict(training=dict(max_epochs=1), last_training=dict(max_epochs=3)),
        share=dict(training=dict(max_epochs=1)),
    ),
)
