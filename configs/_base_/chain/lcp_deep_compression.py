# A chain: 70 % of the channels go by exact selection and the rest learns the dense detector's
# features (pruning.retrain.mimic=None to learn without a teacher); then connections are pruned,
# values shared, and all is packed. Fewer connections are redundant by then, so fewer go than
# without LCP. Inherit this beside a detector's own config and give `load_from` its trained
# checkpoint.
_base_ = '../pruning/lcp_exact.py'

runner_type = 'mmdet_lcp.ChainRunner'
chain = ['mmdet_lcp.PruningRunner', 'mmdet_lcp.WeightCompressionRunner']

COSINE = [dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)]

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.7,
    channel_divisor=1,
    retrain=dict(
        max_epochs=8,
        lr=1e-2,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
        mimic=dict(weight=1.0),
    ),
)
weight_compression = dict(
    name='Deep Compression',
    methods=dict(
        mask=dict(
            type='mmdet_lcp.ConnectionPruning',
            sparsity=0.5,
            rounds=3,
            training=dict(max_epochs=2, lr=1e-2),
            last_training=dict(max_epochs=8, lr=1e-2, param_scheduler=COSINE),
        ),
        share=dict(
            type='mmdet_lcp.WeightSharing',
            bits=dict(conv=8, fc=5),
            init='linear',
            training=dict(max_epochs=2, lr=1e-3, param_scheduler=COSINE),
        ),
    ),
)
del COSINE
