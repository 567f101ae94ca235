"""The teller of colours: squares painted by hand are found where they were painted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_onnx_files import colour_file, facts

import mmdet_lcp_runtime
from mmdet_lcp_runtime import DetectionError, Detector

pytest.importorskip('onnxruntime')

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def painted(height=64, width=64, **squares) -> np.ndarray:
    """Blue-green-red; ``squares``: colour by name of (x1, y1, x2, y2)."""
    image = np.zeros((height, width, 3), np.uint8)
    for name, (x1, y1, x2, y2) in squares.items():
        image[y1:y2, x1:x2] = {'red': RED, 'green': GREEN, 'blue': BLUE}[name]
    return image


TWO = dict(red=(16, 8, 24, 16), blue=(40, 48, 48, 56))


def seen(found) -> dict:
    assert (found.scores == 1).all()
    return {name: tuple(box) for name, box in zip(found.names, found.boxes.tolist(), strict=True)}


@pytest.mark.parametrize('form', ['end-to-end', 'decoded'])
@pytest.mark.parametrize('color', ['rgb', 'bgr'])
@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
@pytest.mark.parametrize('dtype', ['uint8', 'float32', 'normalised'])
def test_every_form_of_file(form, color, layout, dtype, tmp_path):
    given = dict(
        color=color,
        layout=layout,
        dtype='uint8' if dtype == 'uint8' else 'float32',
        normalised_in_graph=dtype != 'normalised',
    )
    detector = Detector(colour_file(tmp_path / 'x.onnx', facts(form, input=given)))
    found = detector(painted(**TWO))
    assert seen(found) == TWO
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.labels.dtype == np.int64 and found.masks is None
    assert sorted(found.labels.tolist()) == [0, 2]
    assert detector.classes == ('red', 'green', 'blue')
    empty = detector(painted())
    assert len(empty) == 0 and empty.boxes.shape == (0, 4) and empty.names == []


@pytest.fixture(scope='module')
def detector(tmp_path_factory) -> Detector:
    return Detector(colour_file(tmp_path_factory.mktemp('made') / 'x.onnx'), threads=1)


def test_boxes_are_in_pixels_of_the_image(detector):
    """Half and a quarter of its sides, letterboxed."""
    found = detector(painted(128, 96, green=(32, 16, 48, 32)))
    assert seen(found) == dict(green=(32, 16, 48, 32))


def test_files_and_arrays(detector, tmp_path):
    cv2 = pytest.importorskip('cv2')
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), painted(**TWO))
    assert seen(detector(path)) == seen(detector(str(path))) == TWO
    rgb = Detector(detector.path, arrays='rgb')
    assert seen(rgb(painted(**TWO)[..., ::-1])) == TWO
    assert seen(rgb(path)) == TWO  # of a file the order is known


@pytest.mark.parametrize('batch', [None, 1, 2])
def test_lists(batch, tmp_path, monkeypatch):
    """Images of other sizes too; a batch that is not full is filled up."""
    about = facts('decoded', input=dict(batch=batch))
    detector = Detector(colour_file(tmp_path / 'x.onnx', about))
    sizes, run = [], detector.engine.run
    monkeypatch.setattr(
        detector.engine, 'run', lambda inputs: sizes.append(len(inputs['images'])) or run(inputs)
    )
    squares = [dict(red=(8 * n, 0, 8 * n + 8, 8)) for n in range(5)]
    images = [painted(64, 64 - 8 * (n == 2), **own) for n, own in enumerate(squares)]
    found = detector(images)
    assert [seen(each) for each in found] == squares
    assert sizes == {None: [5], 1: [1] * 5, 2: [2] * 3}[batch]
    assert detector([]) == []


def test_images_of_any_size(tmp_path):
    """A file without resizing gets each as it is; those of one size run together."""
    from made_onnx_files import FLOAT, UINT8, helper, save

    about = facts(
        'decoded',
        input=dict(height=None, width=None, resize={'mode': 'none'}),
        thresholds=dict(score=0.0),
    )
    nodes = [
        helper.make_node('Cast', ['images'], ['cast'], to=FLOAT),
        helper.make_node('ReduceMax', ['cast'], ['most'], axes=[1, 2], keepdims=0),
        helper.make_node('Unsqueeze', ['most', 'one'], ['scores']),
        helper.make_node('Shape', ['images'], ['size'], start=1, end=3),
        helper.make_node('Cast', ['size'], ['floats'], to=FLOAT),
        helper.make_node('Gather', ['floats', 'corners'], ['box']),
        helper.make_node('Mul', ['box', 'mask'], ['box4']),
        helper.make_node('Shape', ['images'], ['n'], end=1),
        helper.make_node('Concat', ['n', 'rest'], ['shape'], axis=0),
        helper.make_node('Expand', ['box4', 'shape'], ['boxes']),
    ]
    constant = [
        ('one', np.int64([1])),
        ('corners', np.int64([1, 0, 1, 0])),
        ('mask', np.float32([0, 0, 1, 1])),
        ('rest', np.int64([1, 4])),
    ]
    value = helper.make_tensor_value_info
    path = save(
        tmp_path / 'x.onnx',
        about,
        [value('images', UINT8, ['n', 'h', 'w', 3])],
        nodes,
        [value('boxes', FLOAT, ['n', 1, 4]), value('scores', FLOAT, ['n', 1, 3])],
        [mmdet_lcp_constant(name, array) for name, array in constant],
    )
    sizes = [(10, 20), (10, 20), (30, 7)]
    found = Detector(path)([np.full((*size, 3), 1, np.uint8) for size in sizes])
    assert [tuple(each.boxes[0]) for each in found] == [(0, 0, w, h) for h, w in sizes]


def mmdet_lcp_constant(name, array):
    from made_onnx_files import numpy_helper

    return numpy_helper.from_array(array, name)


def test_masks_come_back_at_the_images_size(tmp_path):
    """An instance whose mask is the left half of its box; the second place is padding."""
    from made_onnx_files import FLOAT, INT64, helper, save

    half = np.zeros((1, 2, 28, 28), np.float32)
    half[..., :14] = 1
    dets = np.float32([[[8, 8, 24, 24, 0.9], [0, 0, 0, 0, 0]]])
    value = helper.make_tensor_value_info
    arrays = dict(dets=dets, labels=np.int64([[1, -1]]), masks=half)
    nodes = [helper.make_node('Identity', [f'{name}_'], [name]) for name in arrays]
    about = facts(outputs=['dets', 'labels', 'masks'], input=dict(batch=1))
    path = save(
        tmp_path / 'x.onnx',
        about,
        [value('images', 2, [1, 64, 64, 3])],
        nodes,
        [value(n, INT64 if n == 'labels' else FLOAT, a.shape) for n, a in arrays.items()],
        [mmdet_lcp_constant(f'{name}_', array) for name, array in arrays.items()],
    )
    found = Detector(path)(painted(128, 128))
    expected = np.zeros((1, 128, 128), bool)
    expected[0, 16:48, 16:32] = True
    assert np.array_equal(found.masks, expected) and found.names == ['green']
    assert found.above(0.95).masks.shape == (0, 128, 128)


@pytest.mark.parametrize(('channels', 'image'), [(1, (64, 64)), (4, (64, 64, 4))])
def test_other_channels(channels, image, tmp_path):
    """A gray image, and one with a fourth channel, which here is the only bright one."""
    given = dict(channels=channels, mean=[0.0], std=[255.0] * channels, layout='NCHW')
    given['color'] = 'gray' if channels == 1 else 'rgba'
    classes = ['bright'] if channels == 1 else ['red', 'green', 'blue', 'alpha']
    given['resize'] = {'mode': 'stretch'}
    about = facts('decoded', input=given, classes=classes)
    detector = Detector(colour_file(tmp_path / 'x.onnx', about))
    pixels = np.zeros(image, np.uint8)
    pixels[8:16, 8:16, ...] = 255 if channels == 1 else (0, 0, 0, 255)
    assert seen(detector(pixels)) == {classes[-1]: (8, 8, 16, 16)}
    with pytest.raises(DetectionError, match=f'3 channels, the detector takes {channels}'):
        detector(painted())


def test_warm_up_and_drawing(detector):
    detector.warm_up(1)
    image = painted(**TWO)
    picture = detector.draw(image, detector(image))
    assert picture.shape == (64, 64, 3) and not np.array_equal(picture, image)


def test_a_file_of_another_format_is_described_beside_it(tmp_path):
    about = facts('decoded')
    path = colour_file(tmp_path / 'x.onnx', about, told=False)
    with pytest.raises(DetectionError, match=r'there is no x\.json beside it'):
        Detector(path)
    (tmp_path / 'x.json').write_text(json.dumps(about))
    assert seen(Detector(path)(painted(**TWO))) == TWO


@pytest.mark.parametrize(
    ('about', 'message'),
    [
        (facts(format=9), 'has format 9.*newer mmdet-lcp-runtime'),
        (facts(form='raw'), 'raw outputs.*export it without --raw'),
        (facts(outputs=['dets', 'labels', 'masks']), 'has no output masks'),
    ],
)
def test_files_that_are_refused(about, message, tmp_path):
    path = colour_file(tmp_path / 'x.onnx')
    other = colour_file(tmp_path / 'y.onnx', told=False)
    shutil.move(other, path)
    (tmp_path / 'x.json').write_text(json.dumps(about))
    with pytest.raises(DetectionError, match=message):
        Detector(path)


def test_damaged_missing_and_unknown_files(detector, tmp_path):
    with pytest.raises(DetectionError, match='there is no such file'):
        Detector(tmp_path / 'x.onnx')
    path = tmp_path / 'x.onnx'
    path.write_bytes(Path(detector.path).read_bytes()[:300])
    with pytest.raises(DetectionError, match=r'x\.onnx: onnxruntime cannot open it'):
        Detector(path)
    shutil.copy(path, tmp_path / 'x.pth')
    with pytest.raises(DetectionError, match=r'no engine for it; known are onnxruntime'):
        Detector(tmp_path / 'x.pth')
    with pytest.raises(DetectionError, match='no engine'):
        Detector(path, engine='tensorrt')


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (None, 'not NoneType'),
        (3, 'not int'),
        (np.zeros((2, 4, 4, 3), np.uint8), r'not \(2, 4, 4, 3\); of several give a list'),
        (np.zeros((0, 4), np.uint8), r'not \(0, 4\);'),
        ('.', r'\.: is a folder; name the photos in it'),
    ],
)
def test_what_is_no_image(detector, image, message):
    for given in (image, [image]):
        with pytest.raises(DetectionError, match=message):
            detector(given)


@pytest.mark.parametrize('keys', [dict(threads=0), dict(threads='2'), dict(arrays='gbr')])
def test_wrong_arguments(detector, keys):
    (name,) = keys
    with pytest.raises(DetectionError, match=name):
        Detector(detector.path, **keys)


@pytest.mark.parametrize(
    ('suffix', 'package', 'extra'),
    [
        ('.onnx', 'onnxruntime', 'onnxruntime'),
        ('.xml', 'openvino', 'openvino'),
        ('.ncnn.param', 'ncnn', 'ncnn'),
        ('.mnn', 'MNN', 'mnn'),
        ('.tflite', 'ai_edge_litert', 'litert'),
    ],
)
def test_an_engine_that_is_not_installed(suffix, package, extra, tmp_path, monkeypatch):
    for name in [package, *(m for m in sys.modules if m.startswith(f'{package}.'))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f'x{suffix}'
    path.write_bytes(b'')
    with pytest.raises(DetectionError, match=rf'{package}.*mmdet-lcp-runtime\[{extra}\]'):
        Detector(path)


def test_nothing_heavy_is_imported(detector):
    """Neither PyTorch nor mmdet, nor any engine but the file's, nor what reads images."""
    code = """
import sys, numpy as np
from mmdet_lcp_runtime import Detector
assert not {'onnxruntime', 'cv2', 'PIL'} & set(sys.modules)
Detector(sys.argv[1])(np.zeros((64, 64, 3), np.uint8))
heavy = {'torch', 'mmdet', 'mmcv', 'mmengine', 'mmdet_lcp', 'PIL', 'onnx', 'openvino', 'ncnn'}
sys.exit(','.join(heavy & set(sys.modules)) or 0)
"""
    root = Path(mmdet_lcp_runtime.__file__).parents[1]
    command = [sys.executable, '-c', code, str(detector.path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
