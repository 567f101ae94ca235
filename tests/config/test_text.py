import math

import pytest
from mmengine.config import Config

from mmdet_lcp.config.text import changes, config_text, fingerprint

PLAIN = dict(
    model=dict(type='SSD', scales=(1, 2.5), boxes=[[0.1, None], []]),
    quoted='it\'s "quoted"\nand \\ more',
    flag=True,
    train_dataloader=dict(batch_size=8, num_workers=2, dataset=dict(indices=4)),
)


def read(text, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(text)
    return Config.fromfile(path).to_dict()


def test_what_is_written_is_read(tmp_path):
    assert read(config_text(PLAIN), tmp_path) == PLAIN


def test_numbers_that_python_has_no_word_for(tmp_path):
    odd = dict(ranges=[(-1, 0.2), (0.7, math.inf)], low=-math.inf, none=dict(value=math.nan))
    found = read(config_text(odd), tmp_path)
    assert math.isnan(found.pop('none')['value'])
    odd.pop('none')
    assert found == odd  # and no `inf` or `nan` of its own


def test_a_fingerprint_names_what_changed():
    other = {**PLAIN, 'flag': False, 'new': 1}
    assert changes(fingerprint(PLAIN), fingerprint(other)) == ['flag', 'new']
    assert changes(fingerprint(PLAIN), fingerprint(dict(reversed(PLAIN.items())))) == []


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('work_dir', '/elsewhere'),
        ('resume', True),
        ('log_level', 'DEBUG'),
        ('train_dataloader', {**PLAIN['train_dataloader'], 'num_workers': 7}),
    ],
)
def test_what_decides_nothing_may_change(key, value):
    assert fingerprint({**PLAIN, key: value}) == fingerprint(PLAIN)


def test_a_loader_s_batch_size_decides():
    loader = {**PLAIN['train_dataloader'], 'batch_size': 4}
    assert fingerprint({**PLAIN, 'train_dataloader': loader}) != fingerprint(PLAIN)


def test_order_and_kind_of_a_sequence():
    assert fingerprint(dict(a=[1, 2])) != fingerprint(dict(a=[2, 1]))
    assert fingerprint(dict(a=(1, 2))) == fingerprint(dict(a=[1, 2]))
