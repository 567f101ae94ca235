"""Descriptions of files: read, and refused with what is wrong."""

import json

import pytest
from made_onnx_files import facts

from mmdet_lcp_runtime import DetectionError, metadata


def read(about) -> metadata.Metadata:
    return metadata.read('x.onnx', about if isinstance(about, str) else json.dumps(about))


def test_what_is_read():
    about = facts('decoded', input=dict(mean=[1, 2, 3], batch=2), levels=[60, 4])
    found = read(about)
    assert found.form == 'decoded' and found.classes == ('red', 'green', 'blue')
    assert found.input.mean == (1.0, 2.0, 3.0) and found.input.batch == 2
    assert found.input.resize == 'letterbox' and found.input.pad == 'bottom_right'
    assert found.thresholds.score == 0.4 and found.thresholds.nms == 'nms'
    assert found.levels == (60, 4) and found.facts == about


def test_one_number_stands_for_every_channel():
    resize = {'mode': 'letterbox', 'pad_value': [114]}
    assert read(facts(input=dict(resize=resize))).input.pad_value == (114.0,) * 3


def test_what_is_not_normalised_has_neither_mean_nor_std():
    found = read(facts(input=dict(mean=[], std=[], resize={'mode': 'stretch', 'pad_value': []})))
    assert found.input.mean == found.input.pad_value == (0.0,) * 3
    assert found.input.std == (1.0,) * 3


@pytest.mark.parametrize(
    ('name', 'description'),
    [
        ('a.onnx', 'a.json'),
        ('a.xml', 'a.json'),
        ('a.ncnn.param', 'a.json'),
        ('a.b.mnn', 'a.b.json'),
        ('a.rknn', 'a.rknn.json'),
    ],
)
def test_where_it_lies(name, description, tmp_path):
    assert metadata.beside(tmp_path / name) == tmp_path / description
    with pytest.raises(DetectionError, match=f'there is no {description} beside it'):
        metadata.read(tmp_path / name, None)
    (tmp_path / description).write_text(json.dumps(facts()))
    assert metadata.read(tmp_path / name, None).form == 'end-to-end'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'format': 2}, 'has format 2, this version reads up to 1: install a newer'),
        ({'format': None}, 'has no `format`'),
        ({'format': True}, 'has no `format`'),
        ({'form': 'whole'}, "form='whole' is none of 'end-to-end'"),
        ({'input': {'layout': 'HWC'}}, "layout='HWC' is none of"),
        ({'input': {'color': 'bgra'}}, "color 'bgra' with 3 channels"),
        ({'form': 'raw', 'thresholds': None}, 'raw outputs.*export it without --raw'),
        ({'input': {'channels': 2}}, 'channels=2 is none of 1, 3, 4'),
        ({'input': {'mean': [1, 2]}}, 'mean has 2 values for 3 channels'),
        ({'input': {'height': 0}}, 'height=0 is no whole number from 1'),
        ({'input': {'height': None}}, "resize 'letterbox' needs height and width"),
        ({'input': {'resize': {}}}, "lacks the key 'mode'"),
        ({'thresholds': {'nms': 'hard'}}, "nms='hard' is none of"),
        ({'thresholds': None}, 'is wrong'),
    ],
)
def test_what_is_wrong_is_told(change, message):
    with pytest.raises(DetectionError, match=message) as error:
        read(facts(**change))
    assert str(error.value).startswith('x.onnx: ')


@pytest.mark.parametrize('text', ['', '{', '[1]', '3'])
def test_no_object(text):
    with pytest.raises(DetectionError, match='is no JSON'):
        read(text)


@pytest.mark.parametrize('key', ['input', 'outputs', 'classes', 'thresholds', 'form'])
def test_a_key_is_missing(key):
    about = facts()
    del about[key]
    with pytest.raises(DetectionError, match=f"lacks the key '{key}'"):
        read(about)
