# The ground of a comparison (tools/compare.py) on txlpbc: the narrow Faster R-CNN, all of it.
# Train the dense detector first:
# mmdet-lcp train configs/faster_rcnn/faster_rcnn_r18_narrow_txlpbc.py
_base_ = [
    '../faster_rcnn/faster_rcnn_r18_narrow_txlpbc.py',
    '../_base_/pruning/lcp_exact.py',
]

load_from = 'work_dirs/faster_rcnn_r18_narrow_txlpbc/epoch_36.pth'

pruning = dict(
    ratio=0.5,
    channel_divisor=1,  # 16 channels in steps of 8 leave no choice
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.01, param_scheduler=None),
    retrain=dict(
        max_epochs=16,
        lr=0.02,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
