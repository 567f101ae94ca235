"""The demo's steps fit together; that it runs is what `make demo` shows."""

import importlib
import runpy
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).parents[3]
DEMO = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'demo.py'))


def test_every_command_names_files_that_are_there():
    """Or that a step before it writes."""
    for _, command in DEMO['STEPS']:
        assert (ROOT / command[0]).is_file()
        for word in command[1:]:
            made = word.startswith(DEMO['WORK'])
            assert made or not word.endswith('.py') or (ROOT / word).is_file()


def test_the_pruned_detector_is_what_is_exported_and_looked_through():
    steps = [command for _, command in DEMO['STEPS']]
    data, _, prune, export, detect = steps
    folder = prune[prune.index('--work-dir') + 1]
    assert export[:3] == ['tools/export.py', f'{folder}/pruned_config.py', f'{folder}/pruned.pth']
    assert detect[1] == export[export.index('--out') + 1]
    assert detect[2].startswith(data[data.index('--out') + 1] + '/images/')
    for name, command in (('export', export), ('detect', detect)):
        parse = importlib.import_module(
            {'export': 'mmdet_lcp.cli.export', 'detect': 'mmdet_lcp_runtime.command'}[name]
        ).parse_args
        parse(command[1:])


def test_pruning_begins_where_the_dense_training_ends():
    (_, _), (_, dense), (_, prune), *_ = DEMO['STEPS']
    dense_cfg, prune_cfg = (Config.fromfile(ROOT / command[1]) for command in (dense, prune))
    folder = dense[dense.index('--work-dir') + 1]
    assert prune_cfg.load_from == f'{folder}/epoch_{dense_cfg.train_cfg.max_epochs}.pth'
    data = DEMO['STEPS'][0][1]
    assert prune_cfg.data_root.rstrip('/') == data[data.index('--out') + 1]
