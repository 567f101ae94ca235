import pytest

from mmdet_lcp.report.tables import (
    format_bytes,
    format_change,
    format_count,
    format_difference,
    format_factor,
    format_metric,
    format_ms,
    format_seconds,
    markdown_table,
    metric_name,
    text_table,
)


def test_text_table_is_aligned_and_ascii():
    table = text_table(['', 'dense', 'kept'], [['params', '1.23 M', 7], ['a', None, '']], 'sizes')
    lines = table.split('\n')
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith('+sizes')
    assert '| params | 1.23 M |    7 |' in lines
    assert '| a      |    n/a |      |' in lines
    assert table.isascii()


def test_markdown_table():
    assert markdown_table(['a|b', 'number'], [['x\ny', 5], [None, 'long cell'], ['$', 1]]).split(
        '\n'
    ) == [
        '| a\\|b   |    number |',
        '| :----- | --------: |',
        '| x<br>y |         5 |',
        '| n/a    | long cell |',
        '| \\$     |         1 |',
    ]


def test_empty_tables():
    assert len(text_table(['a', 'b'], []).split('\n')) >= 3
    assert markdown_table(['a', 'b'], []) == '| a    |    b |\n| :--- | ---: |'


@pytest.mark.parametrize('table', [text_table, markdown_table])
def test_ragged_row(table):
    with pytest.raises(ValueError, match='1 cells for 2 columns'):
        table(['a', 'b'], [['x']])


@pytest.mark.parametrize(
    'shown, expected',
    [
        (format_count(0), '0'),
        (format_count(950), '950'),
        (format_count(999), '999'),
        (format_count(1_230), '1.23 k'),
        (format_count(1_234_567), '1.23 M'),
        (format_count(999_999), '1.00 M'),
        (format_count(4_560_000_000), '4.56 G'),
        (format_count(None), 'n/a'),
        (format_bytes(12), '12 B'),
        (format_bytes(1_234_567), '1.2 MB'),
        (format_bytes(999_999), '1.0 MB'),
        (format_change(100, 25.1), '-74.9 %'),
        (format_change(100, 103), '+3.0 %'),
        (format_change(100, 99.999), '+0.0 %'),
        (format_change(0, 1), 'n/a'),
        (format_change(None, 1), 'n/a'),
        (format_change(1, float('nan')), 'n/a'),
        (format_seconds(0), '0.0 s'),
        (format_seconds(0.0125), '0.013 s'),
        (format_seconds(4.21), '4.2 s'),
        (format_seconds(59.99), '1 min 00 s'),
        (format_seconds(185), '3 min 05 s'),
        (format_seconds(3599.9), '1 h 00 min'),
        (format_seconds(3725), '1 h 02 min'),
        (format_metric(0.8361), '0.836'),
        (format_metric(-1.0), 'n/a'),
        (format_metric(None), 'n/a'),
        (format_difference(0.836, 0.8244), '-0.012'),
        (format_difference(0.5, 0.5), '+0.000'),
        (format_difference(-1, 0.5), 'n/a'),
        (format_ms(12.34), '12.3 ms'),
    ],
)
def test_formats(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    ('key', 'name'),
    [
        ('pascal_voc/AP50', 'AP50'),
        ('coco/bbox_mAP_50', 'AP50'),
        ('coco/bbox_mAP', 'mAP'),
        ('coco/bbox_mAP_s', 'mAP_s'),
        ('loss', 'loss'),
    ],
)
def test_metric_names(key, name):
    assert metric_name(key) == name


def test_factors():
    assert [format_factor(f) for f in (29.46, 1, None)] == ['29.5x', '1.0x', 'n/a']
