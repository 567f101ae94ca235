# The ground of a comparison (tools/compare.py) on aquarium7: YOLOX-tiny, over backbone, neck and
# heads. Train the dense detector first:
# mmdet-lcp train configs/zoo/yolox_tiny_36e_txlpbc.py
# mmdet-lcp train configs/zoo/yolox_tiny_aquarium7.py
_base_ = ['yolox_tiny_aquarium7.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/yolox_tiny_aquarium7/epoch_40.pth'

pruning = dict(
    channel_divisor=1,  # as compare_yolox_tiny_txlpbc.py
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=1e-3, param_scheduler=None),
    retrain=dict(
        max_epochs=20,
        lr=1e-3,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
