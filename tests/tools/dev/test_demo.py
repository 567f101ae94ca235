"""The demo's steps fit together; that it runs is what `make demo` shows."""

import runpy
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).parents[3]
DEMO = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'demo.py'))


def test_every_command_names_files_that_are_there():
    for _, command in DEMO['STEPS']:
        assert (ROOT / command[0]).is_file()
        for word in command[1:]:
            assert not word.endswith('.py') or (ROOT / word).is_file()


def test_pruning_begins_where_the_dense_training_ends():
    (_, _), (_, dense), (_, prune) = DEMO['STEPS']
    dense_cfg, prune_cfg = (Config.fromfile(ROOT / command[1]) for command in (dense, prune))
    folder = dense[dense.index('--work-dir') + 1]
    assert prune_cfg.load_from == f'{folder}/epoch_{dense_cfg.train_cfg.max_epochs}.pth'
    data = DEMO['STEPS'][0][1]
    assert prune_cfg.data_root.rstrip('/') == data[data.index('--out') + 1]
