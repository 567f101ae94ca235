# What the methods share that score a detector as it was trained: group by group, without
# fine-tuning between and without an update of the next kernels, then a retraining as long as LCP's
# at the detector's own learning rate, which suits SGD and AdamW alike.
# Inherit one of the fragments that add a criterion, not this one.
runner_type = 'mmdet_lcp.PruningRunner'

pruning = dict(
    layers=r'^backbone\.',
    attachment=None,
    update=dict(type='mmdet_lcp.NoUpdate'),
    selection=dict(num_images=64),
    finetune=dict(max_iters=0),
    retrain=dict(
        max_epochs=24,
        param_scheduler=[dict(type='MultiStepLR', milestones=[16, 22])],
    ),
    evaluate=('selected', 'pruned'),
)
