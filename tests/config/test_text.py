import math

from mmengine.config import Config

from mmdet_lcp.config.text import config_text

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
