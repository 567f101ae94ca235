# A chain: half of the channels go by exact selection and the rest learns the dense detector's
# features (pruning.retrain.mimic=None to learn without a teacher); then the weights get one bit
# and a scale, block by block, and all is packed. Inherit this beside a detector's own config and
# give `load_from` its trained checkpoint.
_base_ = '../pruning/lcp_exact.py'

runner_type = 'mmdet_lcp.ChainRunner'
chain = ['mmdet_lcp.PruningRunner', 'mmdet_lcp.WeightCompressionRunner']

COSINE = [dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)]

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    ratio=0.5,
    channel_divisor=1,
    retrain=dict(max_epochs=8, lr=1e-2, param_scheduler=COSINE, mimic=dict(weight=1.0)),
)
weight_compression = dict(
    methods=dict(
        low_bit=dict(
            type='mmdet_lcp.LowBitWeights',
            bits=1,
            training=dict(max_epochs=12, lr=1e-3, param_scheduler=COSINE),
        ),
    ),
    # What is left at full precision, biases and norms takes 16 bits in the packed file.
    pack=dict(half=True),
)
del COSINE
