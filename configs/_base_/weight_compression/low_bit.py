# BDNN (Pattern Recognition Letters, 2019): weights of M bits and a scale, trained block by block
# from the bottom up, each frozen before the next. First layer, predictions and the RPN's own
# layers stay at full precision.
runner_type = 'mmdet_lcp.WeightCompressionRunner'

weight_compression = dict(
    methods=dict(
        low_bit=dict(
            type='mmdet_lcp.LowBitWeights',
            bits=1,
            training=dict(
                max_epochs=12,
                lr=1e-3,
                param_scheduler=[
                    dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)
                ],
            ),
        )
    ),
    # What is left at full precision, biases and norms takes 16 bits in the packed file.
    pack=dict(half=True),
)
