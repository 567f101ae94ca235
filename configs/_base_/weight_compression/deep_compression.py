# Deep Compression: prune connections (connection_pruning.py), share the values of those that are
# left (as in weight_sharing.py), code them. Inherit this beside a detector's own config and give
# `load_from` its trained checkpoint: nothing else is needed.
_base_ = './connection_pruning.py'

weight_compression = dict(
    name='Deep Compression',
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
