# YOLOX-tiny, trained for as long as the narrow SSD of the comparisons: the dense detector of
# compare_yolox_tiny_txlpbc.py.
_base_ = 'yolox_tiny_txlpbc.py'

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs, val_interval=9)
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(end=max_epochs, T_max=max_epochs)
