"""The state of a run on disk."""

import copy
import json

import pytest
import torch
from mmengine.config import Config

from mmdet_lcp import files
from mmdet_lcp.engine.state import RunState, fingerprint
from mmdet_lcp.errors import CompressionError

CFG = dict(
    model=dict(type='A', backbone=dict(depth=18, strides=(1, 2))),
    train_dataloader=dict(
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        dataset=dict(type='D', pipeline=[dict(type='Flip', prob=0.5)]),
    ),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
    pruning=dict(ratio=0.5, finetune=dict(max_epochs=1)),
    default_hooks=dict(logger=dict(interval=10)),
    work_dir='a',
)


@pytest.fixture
def dense(tmp_path):
    path = tmp_path / 'trained.pth'
    torch.save({'state_dict': {'w': torch.arange(3)}}, path)
    return str(path)


@pytest.fixture
def state(tmp_path, dense):
    state = RunState(tmp_path / 'work')
    assert not state.exists
    assert state.seed is None
    state.open(False, fingerprint(CFG))
    state.begin(fingerprint(CFG), 42, dense)
    return state


def changed(**edits):
    cfg = copy.deepcopy(CFG)
    for path, value in edits.items():
        *parents, last = path.split('__')
        where = cfg
        for parent in parents:
            where = where[parent]
        where[last] = value
    return cfg


# ------------------------------------------------------------------ fingerprint


@pytest.mark.parametrize(
    ('edits', 'key'),
    [
        (dict(model__backbone__depth=50), 'model'),
        (dict(train_dataloader__batch_size=4), 'train_dataloader'),
        (dict(train_dataloader__dataset__pipeline=[]), 'train_dataloader'),
        (dict(optim_wrapper__optimizer__lr=0.2), 'optim_wrapper'),
        (dict(pruning__ratio=0.6), 'pruning'),
        (dict(pruning__finetune=dict(max_epochs=2)), 'pruning'),
    ],
)
def test_what_decides_the_plan_changes_one_digest(edits, key):
    before, after = fingerprint(CFG), fingerprint(changed(**edits))
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == [key]


@pytest.mark.parametrize(
    'edits',
    [
        dict(train_dataloader__num_workers=0),
        dict(train_dataloader__persistent_workers=False),
        dict(train_dataloader__pin_memory=True),
        dict(default_hooks__logger=dict(interval=1)),
        dict(work_dir='elsewhere'),
    ],
)
def test_what_does_not_decide_may_change(edits):
    assert fingerprint(changed(**edits)) == fingerprint(CFG)


def test_the_order_of_keys_and_the_kind_of_dict_do_not_matter(tmp_path):
    assert fingerprint(dict(reversed(CFG.items()))) == fingerprint(CFG)
    cfg = Config(copy.deepcopy(CFG))
    assert fingerprint(cfg) == fingerprint(CFG)
    (tmp_path / 'dumped.py').write_text(cfg.pretty_text)
    assert fingerprint(Config.fromfile(tmp_path / 'dumped.py')) == fingerprint(CFG)
    assert cfg.train_dataloader.num_workers == 2  # the config is left alone


def test_a_config_without_some_of_the_keys():
    assert set(fingerprint({})) == set(fingerprint(CFG))


# ------------------------------------------------------------------ beginning, resuming


def test_a_run_is_written_down(state, dense, tmp_path):
    assert state.exists
    again = RunState(str(tmp_path / 'work'))
    assert (again.exists, again.seed) == (True, 42)
    copied = tmp_path / 'work' / 'pruning_state' / 'dense.pth'
    assert copied.read_bytes() == (tmp_path / 'trained.pth').read_bytes()
    (tmp_path / 'trained.pth').unlink()  # the run does not need it any more
    again.open(True, fingerprint(CFG))
    again.begin(fingerprint(CFG), 7, dense)
    assert again.seed == 42


def test_a_new_run_does_not_overwrite_another(state, tmp_path):
    with pytest.raises(CompressionError, match=r'holds the state of another run.*--resume'):
        RunState(tmp_path / 'work').open(False, fingerprint(CFG))


def test_resuming_with_another_config_names_what_changed(state, tmp_path):
    again = RunState(tmp_path / 'work')
    other = changed(pruning__ratio=0.6, optim_wrapper__optimizer__lr=0.2)
    with pytest.raises(CompressionError, match='another `optim_wrapper`, `pruning`'):
        again.open(True, fingerprint(other))
    again.open(True, fingerprint(changed(train_dataloader__num_workers=0)))


def test_resuming_where_nothing_is(tmp_path):
    RunState(tmp_path / 'empty').open(True, fingerprint(CFG))
    assert not (tmp_path / 'empty').exists()


@pytest.mark.parametrize('content', ['', '{', '[]', '{"seed": 1}', 'null'])
def test_a_damaged_run_file_is_told(state, tmp_path, content):
    (tmp_path / 'work' / 'pruning_state' / 'run.json').write_text(content)
    with pytest.raises(CompressionError, match=r'run\.json is damaged'):
        RunState(tmp_path / 'work').open(True, fingerprint(CFG))


def test_a_run_exists_only_with_its_checkpoint(tmp_path, dense, monkeypatch):
    """Killed while the checkpoint is copied: no run has begun."""

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('shutil.copyfile', killed)
    state = RunState(tmp_path / 'work')
    with pytest.raises(KeyboardInterrupt):
        state.begin(fingerprint(CFG), 1, dense)
    assert not state.exists
    monkeypatch.undo()
    state.begin(fingerprint(CFG), 1, dense)
    assert state.exists


# ------------------------------------------------------------------ stages and progress


def test_stage_and_progress(state, tmp_path):
    assert state.load_stage() is None
    assert state.load_progress(0) is None
    weights = {'w': torch.arange(4.0)}
    state.save_progress({'phase': 0, 'epoch': 2, 'state_dict': weights})
    again = RunState(tmp_path / 'work')
    found = again.load_progress(0)
    assert found['epoch'] == 2
    assert torch.equal(found['state_dict']['w'], weights['w'])
    assert again.load_progress(1) is None  # another phase is under way

    state.save_stage({'stages_done': 1, 'detector': weights, 'plan': {'modules': {}}})
    assert again.load_progress(0) is None  # what was under way has ended
    assert again.load_stage()['stages_done'] == 1
    state.save_stage({'stages_done': 2})
    assert again.load_stage() == {'stages_done': 2}


@pytest.mark.parametrize('name', ['stage', 'progress'])
def test_a_write_that_is_killed_leaves_the_file_before(state, name, monkeypatch):
    save, load = getattr(state, f'save_{name}'), getattr(state, f'load_{name}')
    args = (0,) if name == 'progress' else ()
    save({'phase': 0, 'value': 1})
    real = torch.save

    def half(data, path):
        real(data, path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, 'save', half)
    with pytest.raises(KeyboardInterrupt):
        save({'phase': 0, 'value': 2})
    assert load(*args)['value'] == 1
    monkeypatch.undo()

    def no_rename(*_):
        raise OSError('the disk is full')

    monkeypatch.setattr(files.os, 'replace', no_rename)
    with pytest.raises(OSError, match='disk is full'):
        save({'phase': 0, 'value': 3})
    monkeypatch.undo()
    assert load(*args)['value'] == 1
    left = {path.name for path in state.folder.iterdir()}
    assert left == {'run.json', 'dense.pth', f'{name}.pth'}


@pytest.mark.parametrize('name', ['stage', 'progress'])
def test_damaged_files_are_told(state, name):
    path = state.folder / f'{name}.pth'
    path.write_bytes(b'PK\x03\x04 but no more')
    with pytest.raises(CompressionError, match=rf'{name}\.pth') as error:
        state.load_stage() if name == 'stage' else state.load_progress(0)
    assert 'Delete' in str(error.value)


def test_the_run_file_is_strict_json(state):
    data = json.loads((state.folder / 'run.json').read_text())
    assert data == {'seed': 42, 'fingerprint': fingerprint(CFG)}
