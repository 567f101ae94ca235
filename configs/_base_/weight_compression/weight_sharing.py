# Stage 2 of Deep Compression: 256 values in a convolution, 32 in a linear layer, and a training
# of these values. Inherit this beside a detector's own config and give `load_from` its trained
# checkpoint.
runner_type = 'mmdet_lcp.WeightCompressionRunner'

weight_compression = dict(
    methods=dict(
        share=dict(
            type='mmdet_lcp.WeightSharing',
            bits=dict(conv=8, fc=5),
            init='linear',
            training=dict(
                max_epochs=4,
                lr=1e-3,
                param_scheduler=[
                    dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)
                ],
            ),
        ),
    ),
)
