"""A peer's choice in whole runs of a comparison, at a share of the MACs and at a ratio."""

import pytest
import tiny
from comparisons import Forked, load_tool, table_rows

from mmdet_lcp.comparison import find_method
from mmdet_lcp.comparison.peers.runner import PeerChoice
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

SHARE = '--criteria torch_pruning_taylor --macs 0.8'
NORMS = '--criteria torch_pruning_group_norm --ratios 0.3'
compare = load_tool('compare')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('peers')
    return tiny.make_config(folder, tiny.make_data(folder / 'digits'), 'ground', GROUND)


def chosen(out, name):
    folder = out / 'cells' / name / 'run'
    choice = read_json(folder / 'pruning_state' / 'peer.json')
    assert choice['difference'] <= 1e-5
    plan = read_json(folder / 'plan.json')['modules']
    for group, keep in choice['keep'].items():
        if group in plan:
            assert plan[group]['out_channels']['keep'] == keep
    assert plan
    return choice


def test_in_the_same_table(config):
    """Taylor at a share of the MACs, by the default's steps; the norms at what a ratio leaves."""
    out, stepped = config.with_name('out'), config.with_name('stepped')
    auto = f'{SHARE} --cfg-options pruning.channel_divisor=auto pruning.target.spread=auto'
    for words, folder in ((auto, stepped), (NORMS, out)):
        assert compare.main([str(config), *words.split(), '--out', str(folder)], Forked) == 0
    rows = {row['method']: row for row in (*table_rows(stepped), *table_rows(out))}
    assert {row['state'] for row in rows.values()} == {'finished'}
    taylor = float(rows['torch_pruning_taylor']['macs_ratio'])
    assert 0.6 <= taylor <= 0.8
    choice = chosen(stepped, 'torch_pruning_taylor_rmacs0.8_s0')
    assert choice['asked'] == pytest.approx(0.8)
    assert all(len(keep) % 8 == 0 for keep in choice['keep'].values())
    norms = float(rows['torch_pruning_group_norm']['macs_ratio'])
    asked = chosen(out, 'torch_pruning_group_norm_r0.3_s0')['asked']
    assert 0.4 < asked < 0.8 and asked - 0.03 <= norms <= asked


def test_a_method_by_name():
    method = find_method('torch_pruning_taylor')
    assert method.runner == 'mmdet_lcp.PeerPruningRunner' and method.update == 'NoUpdate'
    with pytest.raises(CompressionError, match="the nearest is 'torch_pruning_taylor'"):
        find_method('torch_pruning_tailor')


def test_the_other_package():
    """Named by package and importance; what the run of a cell is told."""
    method = find_method('torch_kirigami_group_magnitude')
    assert method.parts['criterion'] == dict(
        type='mmdet_lcp.PeerChoice', peer='torch_kirigami', importance='group_magnitude'
    )
    assert method.parts['method'] == 'torch-kirigami, group_magnitude'


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (('torch_pruning', 'l3'), r"importance='l3'.*'taylor', 'group_norm'"),
        (('torch_kirigami', 'group_norm'), r"importance='group_norm'.*'group_magnitude'"),
        (('mmrazor', 'taylor'), r"peer='mmrazor'.*'torch_pruning', 'torch_kirigami'"),
    ],
)
def test_what_is_not_there(given, message):
    with pytest.raises(CompressionError, match=message):
        PeerChoice(*given)
