"""docs/python.md and README's sample as they are printed, run from top to bottom."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).parents[2]


def blocks(page: str, heading: str = '') -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(r'```python\n(.*?)```', text[text.index(heading) :], re.S)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page(here, write_config, capsys):
    config = write_config('python_page')
    shutil.copy(config, here / 'my_ssd.py')
    shutil.copy(Config.fromfile(config).load_from, here / 'my_ssd.pth')
    names: dict = {}
    for block in blocks('docs/python.md'):
        exec(block, names)
    told = capsys.readouterr().out
    assert '0: out_channels 32 -> 16' in told and 'can be pruned' in told
    x = torch.randn(2, 3, 32, 32)
    smaller, masked = names['smaller'].eval(), names['masked'].eval()
    assert smaller[0].out_channels == 30 and masked[0].out_channels == 32
    assert smaller(x).shape == masked(x).shape
    assert type(names['again']) is type(names['detector'])
    assert (here / 'pruned_ssd' / 'pruned_config.py').is_file()


def test_readme(here, write_config, capsys):
    """Both samples as they are printed, each of at most ten lines of code."""
    config = write_config('readme')
    shutil.copy(config, here / 'my_ssd.py')
    shutil.copy(Config.fromfile(config).load_from, here / 'my_ssd.pth')
    plain, detector = blocks('README.md', '## From Python')[:2]
    for sample in (plain, detector):
        assert len([line for line in sample.splitlines() if line]) <= 10
    names: dict = {}
    exec(plain, names)
    difference = float(capsys.readouterr().out.split('tensor(')[1].split(',')[0].rstrip(')\n'))
    assert difference < 1e-5
    exec(detector, names)
    before, after = names['result'].macs
    assert after <= 0.5 * before
    assert (here / 'pruned' / 'pruned_config.py').is_file()
