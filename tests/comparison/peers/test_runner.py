"""A peer's choice in whole runs of a comparison, at a share of the MACs and at a ratio."""

import pytest
import tiny
from comparisons import Forked, load_tool, table_rows

from mmdet_lcp.comparison import find_method
from mmdet_lcp.comparison.peers.runner import TorchPruningChoice
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json

GROUND = r"""
pruning.update(
    layers=r'stage[34]\.\d\.conv',
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.001, param_scheduler=None),
    evaluate=('pruned',),
)
"""

compare = load_tool('compare')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('peers')
    return tiny.make_config(folder, tiny.make_data(folder / 'digits'), 'ground', GROUND)


def test_in_the_same_table(config):
    out = config.with_name('out')
    words = f'{config} --criteria l2_norm torch_pruning_taylor torch_pruning_group_norm --jobs 2'
    assert compare.main([*words.split(), '--macs', '0.8', '--out', str(out)], Forked) == 0
    rows = table_rows(out)
    assert [row['state'] for row in rows] == 3 * ['finished']
    for row in rows[1:]:
        assert 0.77 <= float(row['macs_ratio']) <= 0.8
        folder = out / 'cells' / f'{row["method"]}_rmacs0.8_s0' / 'run'
        choice = read_json(folder / 'pruning_state' / 'peer.json')
        assert choice['difference'] <= 1e-5
        plan = read_json(folder / 'plan.json')['modules']
        for name, keep in choice['keep'].items():
            if name in plan:
                assert plan[name]['out_channels']['keep'] == keep
        assert any(len(keep) < 64 for keep in choice['keep'].values())
    first, second = (
        read_json(out / 'cells' / f'{row["method"]}_rmacs0.8_s0' / 'run' / 'plan.json')
        for row in rows[1:]
    )
    assert first != second  # the gradients count in one of them


def test_a_method_by_name():
    method = find_method('torch_pruning_taylor')
    assert method.runner == 'mmdet_lcp.PeerPruningRunner' and method.update == 'NoUpdate'
    with pytest.raises(CompressionError, match="the nearest is 'torch_pruning_taylor'"):
        find_method('torch_pruning_tailor')


def test_an_importance_that_is_not_there():
    with pytest.raises(CompressionError, match=r"importance='l3'.*'taylor', 'group_norm'"):
        TorchPruningChoice('l3')
