# The ground of a comparison (tools/compare.py) on blood cells: the narrow Faster R-CNN, retrained
# for a few epochs. The method that stands here gives way to each of those compared.
_base_ = ['../faster_rcnn/faster_rcnn_r18_narrow_bccd.py', '../_base_/pruning/lcp_exact.py']

load_from = 'work_dirs/faster_rcnn_r18_narrow_bccd/epoch_20.pth'

pruning = dict(
    # All of it: most of the work is done by FPN, RPN and RoI head.
    layers=r'^(backbone|neck|rpn_head|roi_head)\.',
    kinds=('single', 'coupled', 'shared'),
    ratio=0.5,
    channel_divisor=1,
    selection=dict(num_images=64),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.005, param_scheduler=None),
    retrain=dict(
        max_epochs=4,
        lr=0.005,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('pruned',),
)
