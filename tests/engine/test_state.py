"""The state of a run on disk."""

import copy
import hashlib
import json
from pathlib import Path

import pytest
import torch

from mmdet_lcp import files
from mmdet_lcp.config.fingerprint import fingerprint
from mmdet_lcp.engine.state import KEPT, RunState
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
    message = (
        r'another run:\n  optim_wrapper\.optimizer\.lr: 0\.1 then, 0\.2 now\n  pruning\.ratio: 0'
    )
    with pytest.raises(CompressionError, match=message):
        again.open(True, fingerprint(other))
    again.open(True, fingerprint(changed(train_dataloader__num_workers=0)))


def test_another_checkpoint_is_refused_and_a_missing_one_is_not(state, dense, tmp_path):
    copied = tmp_path / 'copied.pth'
    copied.write_bytes(Path(dense).read_bytes())
    for path in (dense, str(copied), str(tmp_path / 'gone.pth'), None):
        state.open(True, fingerprint(CFG), path)
    torch.save({'state_dict': {'w': torch.arange(4)}}, copied)
    with pytest.raises(
        CompressionError, match=r'copied\.pth. is another detector.*load_from=None'
    ):
        state.open(True, fingerprint(CFG), str(copied))


def test_the_copy_of_the_checkpoint_and_the_seed_are_the_run_s_own():
    cfg = {**CFG, 'load_from': 'moved.pth', 'randomness': dict(seed=3)}
    assert fingerprint(cfg, KEPT) == fingerprint(CFG)
    assert fingerprint({**CFG, 'randomness': dict(deterministic=True)}, KEPT) != fingerprint(CFG)


DIGESTS = {
    'model': 'acbb3f59307e99626dd2baeb3a9df74bf63432a10896904755ab1b13f2172a8d',
    'train_dataloader': 'bbb3ca5d9b61051b6cbebedfac74efd8eb9bf605ee07023274e81e82d7a59f63',
    'optim_wrapper': '96647ef2a5b83288b9cb73f589a09d4a4bc08127632e0edb4d021459c3925d94',
    'pruning': 'd8858625edc8e749334ec99be99e44f76cecb18db307dae3bd980fd6f400d69b',
    'weight_compression': '74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b',
}


class TestStateOfTheReleaseBefore:
    """It kept a SHA-256 of five keys: of their JSON, sorted, without the loader's workers."""

    @pytest.fixture
    def earlier(self, state):
        run = {'seed': 42, 'fingerprint': DIGESTS}
        (state.folder / 'run.json').write_text(json.dumps(run))
        return state

    def test_goes_on_and_says_what_cannot_be_told(self, earlier, monkeypatch):
        told = []
        monkeypatch.setattr('mmdet_lcp.engine.state.print_log', lambda text, *_: told.append(text))
        earlier.open(True, fingerprint(CFG))
        assert 'an earlier release, which wrote down `model`, `train_d' in told[0]

    def test_a_changed_key_is_named(self, earlier):
        message = r"another run:\n  pruning: another \(.* then, \{'ratio': 0\.6, .* now\n"
        with pytest.raises(CompressionError, match=message):
            earlier.open(True, fingerprint(changed(pruning__ratio=0.6)))
        added = {**CFG, 'weight_compression': dict(methods=dict())}
        with pytest.raises(CompressionError, match='another run:\n  weight_compression: another'):
            earlier.open(True, fingerprint(added))


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


def test_the_run_file_is_strict_json(state, dense):
    data = json.loads((state.folder / 'run.json').read_text())
    assert data.pop('checkpoint') == hashlib.sha256(Path(dense).read_bytes()).hexdigest()
    assert data == {'seed': 42, 'fingerprint': fingerprint(CFG)}


def test_a_change_that_is_accepted_goes_on_once(state, tmp_path):
    new = fingerprint(changed(optim_wrapper__optimizer__lr=0.2, pruning__ratio=0.6))
    again = RunState(tmp_path / 'work')
    with pytest.raises(CompressionError, match=r'(?s)lr: 0\.1 then.*accept_changes=KEY') as raised:
        again.open(True, new, accepted=['pruning.ratio', 'optim'])
    assert 'pruning.ratio' not in str(raised.value)
    again.open(True, new, accepted=['pruning.ratio', 'optim_wrapper'])
    again.open(True, new)  # it is the run's config from now on
    with pytest.raises(CompressionError, match=r'lr: 0\.2 then'):
        again.open(True, fingerprint(changed(pruning__ratio=0.6)))
    assert again.seed == 42


def test_what_is_accepted_decides_nothing(state):
    state.open(True, fingerprint({**CFG, 'accept_changes': ['a']}))
