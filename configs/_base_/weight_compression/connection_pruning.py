# Stage 1 of Deep Compression: nine of ten connections go, in three rounds with training between
# them. Inherit this beside a detector's own config and give `load_from` its trained checkpoint.
runner_type = 'mmdet_lcp.WeightCompressionRunner'

weight_compression = dict(
    methods=dict(
        mask=dict(
            type='mmdet_lcp.ConnectionPruning',
            sparsity=0.9,
            rounds=3,
            training=dict(max_epochs=4, lr=1e-3),
            last_training=dict(
                max_epochs=12,
                lr=1e-3,
                param_scheduler=[
                    dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)
                ],
            ),
        ),
    ),
)
