from pathlib import Path

import pytest

from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError

BASE = Path(__file__).parents[2] / 'configs' / '_base_'


@pytest.mark.parametrize(
    ('bases', 'message'),
    [
        (
            ['pruning/lcp.py', 'weight_compression/low_bit.py'],
            r"lcp_low_bit\.py.*chain=\['mmdet_lcp\.PruningRunner', "
            r"'mmdet_lcp\.WeightCompressionRunner'\]",
        ),
        (
            ['pruning/l1_norm.py', 'distill/mimic.py', 'weight_compression/low_bit.py'],
            r'lcp_mimic_low_bit\.py',
        ),
        (['pruning/lcp.py', 'distill/mimic.py'], r"chain=\['mmdet_lcp\.PruningRunner', .*Mimic"),
        (['chain/lcp_deep_compression.py', 'pruning/lcp.py'], 'Inherit the chain alone'),
        (['pruning/lcp.py', 'pruning/thinet.py'], 'two fragments of _base_/pruning/'),
    ],
)
@pytest.mark.parametrize('by_name', [False, True])
def test_what_to_inherit_instead(tmp_path, bases, message, by_name):
    given = [f'mmdet_lcp::_base_/{b}' if by_name else str(BASE / b) for b in bases]
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {given!r}\n')
    with pytest.raises(CompressionError, match=message):
        read_config(str(path))


def test_other_bases(tmp_path):
    for name in ('a.py', 'b.py'):
        (tmp_path / name).write_text('model = dict()\n')
    path = tmp_path / 'config.py'
    path.write_text("_base_ = ['a.py', 'b.py']\n")
    with pytest.raises(CompressionError, match=r"Duplicate keys: \{'model'\}.*say the same key"):
        read_config(str(path))


@pytest.mark.parametrize('swapped', [False, True])
def test_both_styles(tmp_path, swapped):
    new = tmp_path / 'new.py'
    new.write_text('from mmdet.models import ResNet\nmodel = dict(type=ResNet)\n')
    path = tmp_path / 'config.py'
    if swapped:
        path.write_text(
            'from mmengine.config import read_base\nwith read_base():\n    from .old import *\n'
        )
        (tmp_path / 'old.py').write_text("_base_ = 'older.py'\n")
        (tmp_path / 'older.py').write_text('a = 1\n')
    else:
        path.write_text(f'_base_ = {str(new)!r}\n')
    with pytest.raises(CompressionError, match='takes one style at a time'):
        read_config(str(path))
