"""A config with another order of classes than the annotation files, through a whole run."""

import torch
from runs import SHORT

REVERSED = r"""
for _loader in (train_dataloader, val_dataloader):
    _loader['dataset']['metainfo'] = dict(classes=tuple('9876543210'))
del _loader
pruning.update(retrain=dict(max_epochs=1, lr=0.001))
"""


def test_names_come_from_where_labels_come_from(write_config, prune, plain_output):
    """In what is handed out, and in the checkpoints along the way."""
    run = prune(write_config('reversed', SHORT + REVERSED))
    digits = tuple('0123456789')
    log = next(run.work_dir.glob('2*/*.log')).read_text()
    assert 'metainfo.classes has the order (9, 8, 7, 6, 5, 4, 3, 2' in log
    (epoch,) = run.work_dir.glob('epoch_*.pth')
    for file in (run.work_dir / 'pruned.pth', epoch):
        assert torch.load(file)['meta']['dataset_meta']['classes'] == digits
