# Half of the multiply-accumulates of the detector go, over backbone, neck and heads.
_base_ = ['rtmdet_tiny_txlpbc.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/rtmdet_tiny_txlpbc/epoch_8.pth'

pruning = dict(
    target=dict(macs=0.5),
    selection=dict(num_images=32),
    retrain=dict(
        max_epochs=4,
        lr=5e-4,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)],
    ),
)
