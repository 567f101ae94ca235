"""The tables of keys in the READMEs of configs/: up to date, and what they say is so."""

import dataclasses
import re
import runpy
from dataclasses import dataclass
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.distill import DistillConfig
from mmdet_lcp.pruning.targets.target import Target

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'key_tables.py'))
PAGES = list(TOOL['TABLES'])


def cells_of(text: str) -> dict[str, list[str]]:
    """The cells behind each key, by key."""
    lines = [re.split(r' (?<!\\)\| ', line[2:-2]) for line in text.splitlines()]
    return {cells[0].strip('`'): cells[1:] for cells in lines[2:]}


@pytest.fixture(scope='module')
def pruning():
    return cells_of(TOOL['TABLES']['lcp/README.md']['pruning']())


@pytest.mark.parametrize('page', PAGES)
def test_is_up_to_date(page):
    text = (ROOT / 'configs' / page).read_text(encoding='utf-8')
    assert TOOL['filled'](page, text) == text, 'run tools/dev/key_tables.py'


def test_an_old_table_is_replaced_and_the_rest_stays():
    page = 'mimic/README.md'
    text = (ROOT / 'configs' / page).read_text(encoding='utf-8')
    assert TOOL['filled'](page, text.replace('| `num_regions` | `256` |', '| `num` | 5 |')) == text
    with pytest.raises(ValueError, match=r'mimic/README\.md: <!-- keys: mimic --> .* once'):
        TOOL['filled'](page, text.replace('<!-- end of keys -->', ''))
    with pytest.raises(ValueError, match='once'):
        TOOL['filled'](page, text + '<!-- keys: mimic -->\n<!-- end of keys -->\n')


@pytest.mark.parametrize(
    ('key', 'exact', 'lcp'),
    [
        ('criterion.type', "`'mmdet_lcp.BackwardElimination'`", "`'mmdet_lcp.LCP'`"),
        ('update.type', "`'mmdet_lcp.ExactUpdate'`", "`'mmdet_lcp.SGDUpdate'`"),
        ('attachment.type', '`None`', "`'mmdet_lcp.LocalizationAuxiliary'`"),
        ('attachment.box_weight', '–', '`50.0`'),
        ('finetune.max_epochs', '`None`', '`10`'),
        ('finetune.max_iters', '`0`', '`None`'),
        ('retrain.lr', '`None`', '`0.001`'),
        ('selection.positions.objects', '`0.7`', '`0.7`'),
        ('evaluate', "`('pruned',)`", "`('selected', 'finetuned', 'pruned')`"),
        ('layers', "`'.'`", r"`r'^backbone\.'`"),
        ('default', '`dict(target=dict(macs=0.5))`', '`dict(ratio=0.5)`'),
        ('channel_divisor', "`'auto'`", '`1`'),
    ],
)
def test_what_the_two_main_fragments_say(pruning, key, exact, lcp):
    assert pruning[key][:2] == [exact, lcp]


def test_values_are_those_that_the_runner_gets(pruning):
    """Read back, every cell is what `PruningConfig` makes of a fragment."""
    for column, name in enumerate(('lcp_exact', 'lcp')):
        config = PruningConfig.from_cfg(
            Config.fromfile(ROOT / 'configs' / '_base_' / 'pruning' / f'{name}.py')
        )
        for key, cells in pruning.items():
            first = key.partition('.')[0]
            if first in ('criterion', 'update', 'attachment', 'target', 'default', 'ratio'):
                continue  # objects by now; and what `default` has come to
            if key == 'distill':
                assert config.distill is None  # what stands below is that of an empty dict
                continue
            found = dataclasses.replace(config, distill=DistillConfig())
            for part in key.split('.'):
                found = getattr(found, part)
            assert not cells[column] or eval(cells[column].strip('`')) == found, (name, key)
        (amount,) = eval(pruning['default'][column].strip('`')).values()
        assert amount == config.ratio or Target(**amount) == config.target


@dataclass
class Base:
    """A base.

    Attributes:
        first: of two lines,
            ``'kept'`` (`THINGS`).
    """

    first: int = 1


@dataclass
class Derived(Base):
    """Another.

    Attributes:
        second: a | b ...

    Raises:
        third: not a key.
    """

    second: str = 'x|y'


@dataclass
class Silent:
    """Says nothing of its key."""

    key: int = 1


def test_meanings_of_a_class_and_its_bases():
    assert TOOL['meanings'](Derived) == {'first': "of two lines, `'kept'`", 'second': 'a | b ...'}
    found = list(TOOL['rows'](Derived, [{'first': 3}, None], 'p.'))
    assert found[0][:2] == ('p.first', ['`3`', '–'])
    assert found[1] == ('p.second', [r"`'x\|y'`", '–'], 'a | b ...')
    assert TOOL['table'](['f', 'g'], found).splitlines()[3].endswith(r'| a \| b ... |')


def test_a_key_that_nothing_is_said_of():
    with pytest.raises(KeyError, match='key'):
        list(TOOL['rows'](Silent, [{}]))
