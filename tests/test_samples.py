"""Samples on the pages: configs are read, commands and their options are there."""

import contextlib
import io
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp_start.commands import COMMANDS, find

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
MINE = re.compile(r"'(my_\w+\.py)'")


def blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of each block of code, without the indent that a list gives it."""
    found = []
    for page in PAGES:
        pattern = rf'^( *)```{language}\n(.*?)^ *```$'
        for indent, text in re.findall(pattern, page.read_text(), re.M | re.S):
            lines = [line.removeprefix(indent) for line in text.splitlines()]
            found.append((str(page.relative_to(ROOT)), '\n'.join(lines)))
    return found


CONFIGS = [block for block in blocks('python') if '_base_ = ' in block[1]]
COPIES = [block for block in CONFIGS if block[1].startswith('# configs/')]
OWN = [block for block in CONFIGS if block not in COPIES and 'lcp_exact.py' in block[1]]


def test_there_are_some():
    assert len(COPIES) >= 5
    assert len(OWN) >= 5


@pytest.mark.parametrize(('page', 'text'), COPIES)
def test_a_config_of_the_repository_is_shown_as_it_is(page, text):
    path, _, shown = text.partition('\n')
    assert shown.strip() == (ROOT / path.removeprefix('# ')).read_text().strip()


@pytest.mark.parametrize(('page', 'text'), OWN)
def test_a_config_is_read(page, text, tmp_path):
    for name in MINE.findall(text):
        (tmp_path / name).write_text("_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n")
    (tmp_path / 'sample.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'sample.py')
    assert cfg.runner_type == 'mmdet_lcp.PruningRunner'
    config = PruningConfig.from_cfg(cfg)
    assert (config.ratio is None) != (config.target is None)


def commands() -> list[tuple[str, list[str]]]:
    """The page, and the words of each of our commands and make targets on it."""
    found = []
    for page, text in blocks('bash'):
        for line in text.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in ('mmdet-lcp', 'make'):
                found.append((page, words))
    return found


@cache
def help_of(name: str) -> str:
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setattr(sys, 'argv', [name, '--help'])
        with pytest.raises(SystemExit):
            find(name).run()
    return shown.getvalue()


@pytest.mark.parametrize(('page', 'words'), commands())
def test_a_command_and_its_options_are_there(page, words):
    program, name, *rest = words
    if program == 'make':
        targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M)
        assert name in targets
        return
    if name.startswith('-'):
        return
    assert name in {command.name for command in COMMANDS}
    text = help_of(name)
    options = [word.partition('=')[0] for word in rest if word.startswith('--')]
    if name == 'pack' and rest[0] in ('pack', 'unpack'):
        return
    assert not [option for option in options if not re.search(rf'{option}\b', text)]
