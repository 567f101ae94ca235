# Stage 2: the student of stage 1 is fine-tuned, and learns the class and box outputs of its
# teacher too.
_base_ = './faster_rcnn_quarter_width_bccd_mimic.py'

load_from = 'work_dirs/faster_rcnn_quarter_width_bccd_mimic/student.pth'
mimic = dict(head_outputs=1.0)
train_cfg = dict(max_epochs=10, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=10,
        T_max=10,
        eta_min=1e-4,
        convert_to_iter_based=True,
    ),
]
