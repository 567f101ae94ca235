"""What a run depends on: the same in every process, and a changed key is named with its values."""

import copy
import functools
import inspect
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdet_lcp.config.fingerprint import Change, changes, fingerprint, is_partial, listed, plain
from mmdet_lcp.files import write_json

CFG = dict(
    model=dict(type='SSD', depth=18, scales=(1, 2.5), boxes=[[0.1, None], []]),
    train_dataloader=dict(
        batch_size=2,
        num_workers=2,
        dataset=dict(type='D', pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5)]),
    ),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
    custom_hooks=[dict(type='EMAHook', momentum=0.0002)],
    default_hooks=dict(logger=dict(interval=10), param_scheduler=dict(type='ParamSchedulerHook')),
    auto_scale_lr=dict(enable=False, base_batch_size=16),
    test_dataloader=dict(batch_size=8),
    pruning=dict(ratio=0.5, method=None),
    work_dir='a',
)


def changed(path, value):
    cfg = copy.deepcopy(CFG)
    *parents, last = path.split('.')
    where = cfg
    for parent in parents:
        where = where[int(parent) if parent.isdigit() else parent]
    where[last] = value
    return cfg


def written(data, tmp_path):
    write_json(tmp_path / 'known.json', data)
    return json.loads((tmp_path / 'known.json').read_text())


@pytest.mark.parametrize(
    ('path', 'value', 'key', 'then'),
    [
        ('model.depth', 50, 'model.depth', '18'),
        ('train_dataloader.batch_size', 4, 'train_dataloader.batch_size', '2'),
        ('optim_wrapper.optimizer.lr', 0.2, 'optim_wrapper.optimizer.lr', '0.1'),
        ('custom_hooks.0.momentum', 0.1, 'custom_hooks[0].momentum', '0.0002'),
        ('auto_scale_lr.enable', True, 'auto_scale_lr.enable', 'False'),
        ('default_hooks.param_scheduler', None, 'default_hooks.param_scheduler', '{'),
        ('find_more', 1, 'find_more', 'not there'),
    ],
)
def test_what_decides_is_named_with_both_values(path, value, key, then, tmp_path):
    known = written(fingerprint(CFG), tmp_path)
    (found,) = changes(known, fingerprint(changed(path, value)))
    assert (found.key, found.now) == (key, repr(value))
    assert found.then.startswith(then)
    (back,) = changes(fingerprint(changed(path, value)), known)
    assert (back.then, back.now) == (found.now, found.then)


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('train_dataloader.num_workers', 0),
        ('train_dataloader.persistent_workers', False),
        ('train_dataloader.pin_memory', True),
        ('train_dataloader.prefetch_factor', 4),
        ('test_dataloader.batch_size', 1),
        ('pruning.method', 'mine'),
        ('default_hooks.logger', dict(interval=1)),
        ('default_hooks.checkpoint', dict(max_keep_ckpts=1)),
        ('default_hooks.visualization', dict(draw=True)),
        ('env_cfg', dict(dist_cfg=dict(backend='gloo'))),
        ('visualizer', dict(name='other')),
        ('log_level', 'DEBUG'),
        ('launcher', 'pytorch'),
        ('resume', True),
        ('work_dir', 'elsewhere'),
    ],
)
def test_what_does_not_decide_may_change(path, value):
    assert fingerprint(changed(path, value)) == fingerprint(CFG)


def test_a_place_s_own_exceptions():
    other = {**CFG, 'load_from': 'b.pth', 'randomness': dict(seed=3)}
    assert fingerprint(other, ['load_from', 'randomness.seed']) == fingerprint(CFG)
    assert [c.key for c in changes(fingerprint(CFG), fingerprint(other))] == [
        'load_from',
        'randomness',
    ]


def test_the_order_of_keys_and_the_kind_of_dict_do_not_matter(tmp_path):
    known = written(fingerprint(CFG), tmp_path)
    assert changes(known, fingerprint(dict(reversed(CFG.items())))) == []
    cfg = Config(copy.deepcopy(CFG))
    assert changes(known, fingerprint(cfg)) == []
    (tmp_path / 'dumped.py').write_text(cfg.pretty_text)
    assert changes(known, fingerprint(Config.fromfile(tmp_path / 'dumped.py'))) == []
    assert cfg.train_dataloader.num_workers == 2  # the config is left alone


class TestLists:
    @pytest.mark.parametrize(
        ('then', 'now', 'key', 'values'),
        [
            ([1, 2], [1, 3], 'a[1]', ('2', '3')),
            ([1, 2, 3], [1, 9, 2, 3], 'a[1]', ('not there', '9')),
            ([1, 2, 3], [1, 3], 'a[1]', ('2', 'not there')),
            ([1], [1, 7, 8], 'a[1]', ('not there', '7, 8')),
            ([], [dict(b=1)], 'a[0]', ('not there', "{'b': 1}")),
            ([4, 5, 6], [4], 'a[1]', ('5, 6', 'not there')),
            ([1, 1], [1], 'a[1]', ('1', 'not there')),
        ],
    )
    def test_the_item_is_named(self, then, now, key, values):
        found = changes(fingerprint(dict(a=then)), fingerprint(dict(a=now)))
        assert found == [Change(key, *values)]

    def test_a_tuple_is_a_list(self):
        assert changes(fingerprint(dict(a=(1, (2,)))), fingerprint(dict(a=[1, [2]]))) == []


@pytest.mark.parametrize(
    ('then', 'now'),
    [(1, True), (0, False), (None, 0), ('1', 1), ([], {}), (math.nan, math.inf), (1, 1.5)],
)
def test_values_that_look_alike(then, now, tmp_path):
    known = written(fingerprint(dict(a=then)), tmp_path)
    assert [c.key for c in changes(known, fingerprint(dict(a=now)))] == ['a']
    assert changes(known, fingerprint(dict(a=then))) == []


class Holder:
    def __init__(self, value):
        self.value = value


class TestObjects:
    def test_classes_and_functions_by_their_names(self):
        assert plain(torch.optim.SGD) == 'torch.optim.sgd.SGD'
        assert plain(Holder.__init__).endswith('test_fingerprint.Holder.__init__')
        assert plain(json.dumps) == 'json.dumps' and plain(math.sqrt) == 'math.sqrt'
        assert plain(functools.partial(json.dumps, indent=2)) == {
            'partial': ['json.dumps', [], {'indent': 2}]
        }

    def test_others_by_class_and_attributes(self):
        one, same, other = Holder([json.dumps]), Holder([json.dumps]), Holder([json.loads])
        assert plain(one) == plain(same) != plain(other)
        assert ' at 0x' not in repr(plain(one))

    def test_what_json_has_no_word_for(self):
        assert plain({2: {3, 1}, 'a': np.float32(0.5)}) == {'2': [1, 3], 'a': 0.5}
        assert plain(torch.arange(3)) == plain(np.arange(3)) == [0, 1, 2]
        assert plain(torch.float16) == 'torch.float16'


NEW_STYLE = """
from mmengine.config import read_base
with read_base():
    from {base} import *
from torch.nn import ReLU
from torch.optim import SGD
from json import dumps
model.update(type=ReLU, parts=[dict(act=ReLU), dumps], names=set('abcdefgh'))
optim_wrapper = dict(optimizer=dict(type=SGD, lr=0.1))
"""
# By its path: the package's own import takes seconds, and this needs nothing of it.
PRINT = """
import json, runpy, sys
from mmengine.config import Config
fingerprint = runpy.run_path(sys.argv[2])['fingerprint']
print(json.dumps(fingerprint(Config.fromfile(sys.argv[1]))))
"""


def test_a_new_style_config_is_the_same_in_another_process(tmp_path):
    (tmp_path / 'base_of_it.py').write_text("model = dict(depth=18)\nwork_dir = 'a'\n")
    path = tmp_path / 'new_style.py'
    path.write_text(NEW_STYLE.format(base='.base_of_it'))
    here = fingerprint(Config.fromfile(path))
    assert here['config']['model']['type'] == 'torch.nn.modules.activation.ReLU'
    assert here['config']['model']['parts'][1] == 'json.dumps'
    out = subprocess.run(
        [sys.executable, '-c', PRINT, str(path), inspect.getfile(fingerprint)],
        env={**os.environ, 'PYTHONHASHSEED': '17', 'PYTHONPATH': os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    assert changes(json.loads(out), here) == []
    other = NEW_STYLE.format(base='.base_of_it').replace('type=SGD', 'type=Adam')
    path.write_text(other.replace('import SGD', 'import SGD, Adam'))
    (found,) = changes(json.loads(out), fingerprint(Config.fromfile(path)))
    assert str(found) == (
        "optim_wrapper.optimizer.type: 'torch.optim.sgd.SGD' then, 'torch.optim.adam.Adam' now"
    )


class TestMessage:
    def test_a_line_each_and_long_values_cut(self):
        found = changes(fingerprint(dict(a=1, b='x' * 200)), fingerprint(dict(a=2, b=0)))
        first, second = listed(found).strip().split('\n')
        assert first == 'a: 1 then, 2 now'
        assert second.startswith("  b: 'xxxx") and second.endswith('... then, 0 now')
        assert len(second) < 110

    def test_many(self):
        text = listed([Change(f'k{i}', '1', '2') for i in range(11)])
        assert text.endswith('k7: 1 then, 2 now\n  and 3 more\n')


class TestOfAnEarlierRelease:
    # sha256 of '{"lr": 0.1, "steps": [1, 2]}', as comparisons kept it and as runs did
    DIGEST = '44f35dedaa8f5f6aba6807e4d63adf742539290fb34906b7e6438d5e459d47f6'

    @pytest.mark.parametrize('length', [16, 64])
    def test_digests_of_keys(self, length):
        known = {'a': self.DIGEST[:length]}
        same = fingerprint(dict(a=dict(steps=(1, 2), lr=0.1), b=1))
        assert is_partial(known) and not is_partial(same)
        assert changes(known, same) == []
        (found,) = changes(known, fingerprint(dict(a=dict(steps=(1, 2), lr=0.2))))
        assert found.key == 'a' and 'earlier release' in found.then and '0.2' in found.now
        (found,) = changes(known, fingerprint({}))
        assert (found.key, found.now) == ('a', 'not there')

    def test_a_key_within_a_key(self):
        known = {'p.a': self.DIGEST}
        assert changes(known, fingerprint(dict(p=dict(a=dict(steps=[1, 2], lr=0.1))))) == []
        assert len(changes(known, fingerprint(dict(p=dict(a=3))))) == 1
