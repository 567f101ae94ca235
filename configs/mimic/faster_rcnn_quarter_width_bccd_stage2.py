# Stage 2: the student of stage 1 is fine-tuned, for half of its epochs at a tenth of its rate, and
# learns the class and box outputs of its teacher too.
_base_ = './faster_rcnn_quarter_width_bccd_mimic.py'

load_from = 'work_dirs/faster_rcnn_quarter_width_bccd_mimic/student.pth'
mimic = dict(head_outputs=1.0)
epochs = _base_.train_cfg.max_epochs // 2
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
optim_wrapper = dict(optimizer=dict(lr=_base_.optim_wrapper.optimizer.lr / 10))
param_scheduler = [dict(_base_.param_scheduler[-1], end=epochs, T_max=epochs)]
del epochs
