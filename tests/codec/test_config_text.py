import math

import pytest
from mmengine.config import Config

from mmdet_lcp.codec.config_text import config_text
from mmdet_lcp.errors import CompressionError

DATA = dict(
    model=dict(
        type='A',
        plan={'backbone.conv': {'out_channels': [4, [0, 2]]}},
        norm=None,
        sizes=(1, -2.5, (), [True], [dict(a=1, b=[])]),
        text='a\'b"c\\d\ne',
    ),
    lr=1e-4,
    names=['x'],
)


@pytest.mark.parametrize('pretty', [False, True])
def test_mmengine_reads_the_same(tmp_path, pretty):
    path = tmp_path / 'config.py'
    path.write_text(config_text(DATA, pretty))
    assert Config.fromfile(path).to_dict() == DATA
    if pretty:
        assert path.read_text() == Config(DATA).pretty_text


@pytest.mark.parametrize(
    'data',
    [
        {'a': math.inf},
        {'a': math.nan},
        {'a': {'lambda': 1}},
        {'a b': 1},
        {'x=1\nimport os\ny': 1},
        {'text': 1},
        {'a': {"b': __import__('os').abort(), 'c": 1}},
        {'a': {"b': print(), 'c": {'d': 2}}},
        {'a': {(1, 'x'): 1, 'y z': 2, 'nan': math.nan}},
    ],
)
def test_what_a_config_file_cannot_hold_is_refused(data):
    """mmengine writes keys without escaping them: some would become code."""
    with pytest.raises(CompressionError, match='config'):
        config_text(data, pretty=False)
