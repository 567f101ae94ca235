"""The errors that a user can mend: told in a line, by every tool, from any process."""

import pickle
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

import mmdet_lcp
from mmdet_lcp.errors import CompressionError
from mmdet_lcp_start import commands

TOOLS = Path(__file__).parents[1] / 'tools'
# A mistake for each command, and what is said of it.
MISTAKES = {
    'compare': (['nowhere.py', '--criteria', 'lcp'], 'nowhere.py: there is no such config'),
    'compare-students': (['nowhere.py', '--out', 'out'], 'nowhere.py: there is no such config'),
    'detect': (['nowhere.onnx', 'photo.jpg'], 'nowhere.onnx'),
    'export': (['nowhere.py', 'x.pth', '--out', 'x.bin'], '--out x.bin: '),
    'latency-kit': (['nowhere.py', '--out', 'kit'], 'nowhere.py: there is no such config'),
    'make-digits': (['--out', 'digits', '--image-size', '1'], 'image_size must be an integer'),
    'measure-steps': (['--times', 'nothing.json', '--out', 'x.json'], 'nothing.json: cannot be'),
    'merge-comparisons': (['nothing.csv', '--out', 'out'], 'nothing.csv cannot be read'),
    'pack': (['info', 'nothing.lcp'], 'nothing.lcp: there is no such file'),
    'report': (['nothing'], 'nothing holds no run'),
    'sensitivity': (['nowhere.py'], 'nowhere.py: there is no such config'),
    'support': (['--only', 'nothing'], '--only nothing: '),
    'tabulate-runs': (['nothing'], 'nothing'),
    'train': (['nowhere.py'], 'nowhere.py: there is no such config'),
}


def test_it_is_the_packages_and_a_value_error_of_its_own():
    assert mmdet_lcp.CompressionError is CompressionError
    assert issubclass(CompressionError, ValueError) and CompressionError is not ValueError
    with pytest.raises(ValueError, match='invalid literal') as error:
        int('x')
    assert not isinstance(error.value, CompressionError)  # a defect keeps its traceback


def test_every_tool_is_here():
    assert {command.name for command in commands.COMMANDS} == set(MISTAKES)
    scripts = {
        'detect' if command.name == 'detect' else command.module_name
        for command in commands.COMMANDS
    }
    assert {path.stem for path in TOOLS.glob('*.py')} == scripts


@pytest.mark.parametrize('name', MISTAKES)
def test_tools_say_it_in_a_line(name, tmp_path, monkeypatch, capsys):
    """Without a traceback, with an exit status, before anything is written."""
    args, words = MISTAKES[name]
    monkeypatch.setattr('sys.argv', ['as it was'])  # main() changes it
    monkeypatch.chdir(tmp_path)
    assert commands.main([name, *args]) in (1, 2)
    printed = capsys.readouterr().err
    assert printed.startswith('error: ') and printed.count('\n') == 1 and words in printed
    assert list(tmp_path.iterdir()) == []


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise CompressionError('a.png: has no pixels')


def test_it_comes_out_of_other_processes_as_itself():
    error = pickle.loads(pickle.dumps(CompressionError('a.png: has no pixels')))
    assert type(error) is CompressionError and str(error) == 'a.png: has no pixels'
    with pytest.raises(CompressionError, match=r'a\.png: has no pixels'):
        next(iter(DataLoader(Broken(), num_workers=1)))
