# What the methods share that score a detector as it was trained: group by group, without
# fine-tuning between and without an update of the next kernels, then a retraining as long as LCP's
# at the detector's own learning rate, which suits SGD and AdamW alike.
# Half of the multiply-accumulates of the whole detector go, over all groups of channels that can
# be pruned: backbone, neck and heads, what residual additions tie together and what runs several
# times. `ratio` or `target` in a config that inherits this goes before that `default`.
# Inherit one of the fragments that add a criterion, not this one.
runner_type = 'mmdet_lcp.PruningRunner'

pruning = dict(
    layers='.',
    kinds=('single', 'coupled', 'shared'),
    default=dict(target=dict(macs=0.5)),
    channel_divisor='auto',
    attachment=None,
    update=dict(type='mmdet_lcp.NoUpdate'),
    selection=dict(num_images=64),
    finetune=dict(max_iters=0),
    retrain=dict(
        max_epochs=24,
        param_scheduler=[dict(type='MultiStepLR', milestones=[16, 22])],
    ),
    # 'selected' too measures mAP after each group: many times the validation set
    evaluate=('pruned',),
)
