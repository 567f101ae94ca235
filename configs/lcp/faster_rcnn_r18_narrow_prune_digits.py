# LCP on the narrow Faster R-CNN, the built-in digits at 160x160, on a CPU: the paper's form, with
# the anchors of the RPN as default boxes; with proposals instead:
# --cfg-options pruning.attachment.boxes=proposals
_base_ = ['../faster_rcnn/faster_rcnn_r18_narrow_digits.py', '../_base_/pruning/lcp.py']

load_from = 'work_dirs/faster_rcnn_r18_narrow_digits/epoch_16.pth'

pruning = dict(
    finetune=dict(max_epochs=None, max_iters=50, lr=0.005, param_scheduler=None),
    retrain=dict(
        max_epochs=2,
        lr=0.01,
        param_scheduler=[dict(type='CosineAnnealingLR', eta_min=1e-4, convert_to_iter_based=True)],
    ),
    evaluate=('selected',),
)
