import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import (
    atomic_path,
    load_arrays,
    load_torch,
    remove_leftovers,
    write_json,
    write_text,
)


class Shell:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_write_text_makes_the_folder_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / 'a' / 'b.txt'
    write_text(path, 'ü\n')
    write_text(path, 'new\n')
    assert path.read_text() == 'new\n'
    assert os.listdir(path.parent) == ['b.txt']


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'a': 1}, path)
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_bytes(b'half')
        raise KeyError
    assert load_torch(path) == {'a': 1}
    assert os.listdir(tmp_path) == ['x.pth']


def test_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x.json'
    write_json(path, {'a': 1})
    code = (
        'import os, signal\n'
        'from mmdet_lcp.files import atomic_path\n'
        f'with atomic_path({str(path)!r}) as temporary:\n'
        '    temporary.write_text(\'{"a": \')\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, '-c', code], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads(path.read_text()) == {'a': 1}


def test_atomic_path_keeps_the_suffix_and_the_usual_permissions(tmp_path):
    plain = tmp_path / 'plain.png'
    plain.write_bytes(b'')
    with atomic_path(tmp_path / 'x.png') as temporary:
        assert temporary.suffix == '.png' and temporary.parent == tmp_path
        temporary.write_bytes(b'1')
    assert (tmp_path / 'x.png').stat().st_mode == plain.stat().st_mode


def test_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / 'x'):
        pass


def test_json_is_strict_ordered_and_takes_numpy_and_torch(tmp_path):
    path = tmp_path / 'x.json'
    write_json(
        path,
        {
            'z': float('nan'),
            'a': np.float32(0.5),
            'i': np.int64(3),
            't': torch.tensor(2),
            'v': torch.tensor([1.0, float('inf')]),
            'p': Path('q'),
            'b': np.bool_(True),
            np.int64(7): (1, {2}),
        },
    )
    text = path.read_text()
    assert text.endswith('}\n') and '  "z": null' in text
    assert list(json.loads(text).items()) == [
        ('z', None),
        ('a', 0.5),
        ('i', 3),
        ('t', 2),
        ('v', [1.0, None]),
        ('p', 'q'),
        ('b', True),
        ('7', [1, [2]]),
    ]
    with pytest.raises(TypeError):
        write_json(path, {'a': object()})
    assert path.read_text() == text


def test_torch_round_trip(tmp_path):
    path = tmp_path / 'x.pth'
    with atomic_path(path) as temporary:
        torch.save({'state_dict': {'w': torch.arange(3)}}, temporary)
    assert load_torch(path)['state_dict']['w'].tolist() == [0, 1, 2]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CompressionError, match=r'nothing\.pth.*no such file'):
        load_torch(tmp_path / 'nothing.pth')
    with pytest.raises(CompressionError, match='is a folder'):
        load_torch(tmp_path)


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('keep', [0, 1, 0.1, 0.5, 0.95])
def test_truncated_checkpoint(tmp_path, legacy, keep):
    path = tmp_path / 'x.pth'
    torch.save({'w': torch.randn(1000)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(CompressionError, match=r'x\.pth: is cut short'):
        load_torch(path)


@pytest.mark.parametrize(
    'content', [b'<html>404</html>', b'version https://git-lfs', b'\x00' * 99]
)
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(CompressionError, match='no torch checkpoint'):
        load_torch(path)


@pytest.mark.parametrize('form', ['pickle2', 'pickle5', 'zip', 'legacy'])
def test_malicious_pickle_is_refused_and_not_run(tmp_path, form):
    path, mark = tmp_path / 'x.pth', tmp_path / 'mark'
    bad = {'state_dict': Shell(f'touch {mark}')}
    if form.startswith('pickle'):
        path.write_bytes(pickle.dumps(bad, protocol=int(form[-1])))
    else:
        torch.save(bad, path, _use_new_zipfile_serialization=form == 'zip')
    with pytest.raises(CompressionError, match=r'x\.pth.*not plain weights.*refused'):
        load_torch(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(bad))
    assert mark.exists()  # the file would have run


def test_pickled_module_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(CompressionError, match=r'Linear.*save only the weights'):
        load_torch(path)


def test_object_refused_by_name_only_is_no_truncated_file(tmp_path):
    class Lookup:
        def __reduce__(self):
            return getattr, (torch.nn.Module, 'forward')

    path = tmp_path / 'x.pth'
    torch.save(Lookup(), path)
    with pytest.raises(CompressionError, match='not plain weights'):
        load_torch(path)


def test_another_bit_in_a_tensor_is_noticed(tmp_path):
    """PyTorch writes checksums, and does not compare them."""
    path = tmp_path / 'x.pth'
    weight = torch.arange(1000.0)
    torch.save({'weight': weight}, path)
    content = bytearray(path.read_bytes())
    place = content.index(weight.numpy().tobytes()) + 1234
    content[place] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)['weight'], weight)
    with pytest.raises(CompressionError, match=r'x\.pth: is damaged, the checksum of .*data/0'):
        load_torch(path)


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    (tmp_path / 'state').mkdir()
    left = [tmp_path / '.plan.0123abcd.tmp.json', tmp_path / 'state' / '.stage.89abcdef.tmp.pth']
    others = [tmp_path / name for name in ('plan.json', '.running', '.a.tmp.txt', 'x.tmp.json')]
    for path in [*left, *others]:
        path.write_text('x')
    with atomic_path(tmp_path / 'new.json') as path:
        path.write_text('x')
        assert sorted(remove_leftovers(tmp_path)) == sorted([*left, path])
        path.write_text('x')
    assert sorted(p for p in tmp_path.rglob('*') if p.is_file()) == sorted(
        [*others, tmp_path / 'new.json']
    )


def test_arrays_are_read_and_pickles_are_not(tmp_path):
    path = tmp_path / 'some.npz'
    np.savez(path, a=np.arange(3), b=np.ones((2, 2)))
    found = load_arrays(path)
    assert found['a'].tolist() == [0, 1, 2] and found['b'].shape == (2, 2)
    np.savez(path, a=np.array([dict(b=1)], dtype=object))
    with pytest.raises(CompressionError, match=r'some\.npz is damaged'):
        load_arrays(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CompressionError, match=r'some\.npz is damaged'):
        load_arrays(path)
    with pytest.raises(CompressionError, match=r'other\.npz'):
        load_arrays(tmp_path / 'other.npz')
