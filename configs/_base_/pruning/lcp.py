# Localization-aware Channel Pruning. Inherit this beside a detector's own config and give
# `load_from` its trained checkpoint: nothing else is needed.
runner_type = 'mmdet_lcp.PruningRunner'

pruning = dict(
    layers=r'^backbone\.',
    kinds=('single',),
    default=dict(ratio=0.5),
    channel_divisor=1,
    attachment=dict(type='mmdet_lcp.LocalizationAuxiliary'),
    objective=dict(reconstruction=1.0, alpha=1.0),
    criterion=dict(type='mmdet_lcp.LCP'),
    update=dict(type='mmdet_lcp.SGDUpdate'),
    selection=dict(num_images=64),
    finetune=dict(
        max_epochs=10,
        lr=1e-3,
        param_scheduler=[dict(type='MultiStepLR', milestones=[5])],
    ),
    retrain=dict(
        max_epochs=24,
        lr=1e-3,
        param_scheduler=[dict(type='MultiStepLR', milestones=[16, 22])],
    ),
)
