# The chain of ssd_narrow_vgg_bccd_after_lcp.py on the built-in digits.
_base_ = ['../ssd/ssd_narrow_vgg_digits.py', '../_base_/pruning/lcp_exact.py']

runner_type = 'mmdet_lcp.ChainRunner'
chain = ['mmdet_lcp.PruningRunner', 'mmdet_lcp.WeightCompressionRunner']
load_from = 'work_dirs/ssd_narrow_vgg_digits/epoch_8.pth'

COSINE = [dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)]

pruning = dict(
    ratio=0.7,
    retrain=dict(
        max_epochs=3,
        lr=1e-2,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
        mimic=dict(),
    ),
)
weight_compression = dict(
    name='Deep Compression',
    methods=dict(
        mask=dict(
            type='mmdet_lcp.ConnectionPruning',
            sparsity=0.7,
            rounds=3,
            training=dict(max_epochs=1, lr=5e-3),
            last_training=dict(max_epochs=3, lr=1e-2, param_scheduler=COSINE),
        ),
        share=dict(
            type='mmdet_lcp.WeightSharing',
            bits=dict(conv=8, fc=5),
            init='linear',
            training=dict(max_epochs=1, lr=1e-3, param_scheduler=COSINE),
        ),
    ),
)
del COSINE
