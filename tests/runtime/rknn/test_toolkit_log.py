"""What a process prints, its compiled parts included."""

import os

import pytest

from mmdet_lcp_runtime.rknn import toolkit_log


def test_prints_go_to_the_file_and_come_back_after_an_error(tmp_path, capfd):
    file = tmp_path / 'x.log'
    file.write_text('before\n')
    with pytest.raises(KeyError), toolkit_log.kept_in(file):
        print('python')
        os.write(2, b'compiled\n')
        raise KeyError
    print('after')
    assert sorted(file.read_text().split()) == ['before', 'compiled', 'python']
    assert capfd.readouterr() == ('after\n', '')


def test_last_lines_without_colours_and_progress(tmp_path):
    file = tmp_path / 'x.log'
    file.write_text(
        'a\nI Fusing:   0%|   | 0/9\rI Fusing: 100%|###| 9/9\n\n\x1b[1;31mE\x1b[0m wrong\nlast\n'
        'I ===== WARN(0) =====\nE rknn-toolkit2 version: 2.5.0\n'
    )
    assert toolkit_log.last(file) == 'E wrong'
    file.write_text('a\nb\nsome.py:1: UserWarning: x\nc\nI all: 100%|#|\nd\n')
    assert toolkit_log.last(file) == 'b / c / d' and toolkit_log.last(file, 1) == 'd'
    file.write_text('E build: Traceback (most recent call last):\nValueError: no such chip\nd\n')
    assert toolkit_log.last(file) == 'ValueError: no such chip'


def test_operators_that_it_lacks(tmp_path):
    """Lines of rknn-toolkit2 2.5.0."""
    file = tmp_path / 'x.log'
    row = 'No lowering found for: {}, node type = {}, use CustomOperatorLower instead.\n'
    file.write_text(row.format('/Min_1', 'Min') + row.format('/Min', 'Min') + 'E other\n')
    assert toolkit_log.lacking(file) == ['Min']
    file.write_text('I all is well\n')
    assert toolkit_log.lacking(file) == []


def test_cycles_of_the_layers_on_the_npu(tmp_path):
    """Rows of rknn-toolkit2 2.5.0; a layer on the CPU has none."""
    file = tmp_path / 'x.log'
    rows = (
        'ID   OpType             DataType Target InputShape       OutputShape    '
        'Cycles(DDR/NPU/Total)    RW(KB)       FullName        ',
        '0    InputOperator      FLOAT16  CPU    \\                (1,3,192,192)  '
        '0/0/0                    0            InputOperator:images',
        '1    ConvRelu           FLOAT16  NPU    (1,3,192,192),(16,3,3,3),(16)  (1,16,192,192) '
        '59322/331776/331776      218          Conv:/stage1/Conv',
        '2    Conv               FLOAT16  NPU    (1,64,3,3)       (1,16,3,3)     '
        '843/288/843              19           Conv:/head/Conv',
    )
    file.write_text(''.join(f'D RKNN: [04:29:44.054] {row}\n' for row in rows))
    assert toolkit_log.cycles(file) == 331776 + 843
    file.write_text('I all is well\n')
    assert toolkit_log.cycles(file) is None
