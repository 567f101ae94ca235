# YOLOX-tiny, trained for as long as the narrow SSD of the comparisons: the dense detector of
# compare_yolox_tiny_txlpbc.py.
_base_ = 'yolox_tiny_txlpbc.py'

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs, val_interval=9)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=2e-5,
        convert_to_iter_based=True,
    ),
]
