"""The conversion with a stand-in of the toolkit, see `fake_rknn`."""

import json

import fake_rknn
import numpy as np
import pytest
from made_onnx_files import facts, network_file

from mmdet_lcp_runtime import DetectionError, Detector
from mmdet_lcp_runtime.rknn.conversion import convert

cv2 = pytest.importorskip('cv2')
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]


@pytest.fixture
def toolkit(monkeypatch):
    return fake_rknn.install(monkeypatch)


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """Twenty of 60x64 pixels, in colours near the mean: they fill all but the last rows."""
    generator, paths = np.random.default_rng(0), []
    for number in range(20):
        paths.append(str(tmp_path / f'{number:02}.png'))
        cv2.imwrite(paths[-1], generator.integers(95, 125, (60, 64, 3), np.uint8))
    return paths


def description(**changed) -> dict:
    given = dict(
        layout='NCHW', dtype='float32', normalised_in_graph=False, batch=1, mean=MEAN, std=STD,
        resize={'mode': 'letterbox', 'pad_value': [3, 2, 1], 'pad': 'bottom_right'},
    )  # fmt: skip
    return facts('decoded', input={**given, **changed})


@pytest.fixture
def model(tmp_path):
    return network_file(tmp_path / 'x.onnx', description())


def test_the_file_detects_on_the_board_what_the_given_one_detects(
    model, photos, toolkit, tmp_path
):
    out = tmp_path / 'new' / 'x.rknn'
    made = convert(model, out, 'rk3588', photos[:3], score=0.0)
    assert made.path == out and made.calibrated == 0
    assert made.agreement.photos == 3
    assert made.agreement.given == made.agreement.made == made.agreement.both > 0
    assert made.agreement.box < 1e-3
    names = ['x.decode.onnx', 'x.rknn', 'x.rknn.json', 'x.rknn.log']
    assert sorted(path.name for path in out.parent.iterdir()) == names
    told = json.loads((out.parent / 'x.rknn.json').read_text())
    assert told['rknn'] == {'platform': 'rk3588', 'type': 'float16'}
    assert dict(toolkit.calls)['config'] == dict(
        mean_values=[MEAN], std_values=[STD], target_platform='rk3588'
    )
    board, given = Detector(out), Detector(model)
    for photo in photos:
        found, expected = board(photo), given(photo)
        assert len(expected) > 0 and found.names == expected.names
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize('color', ['rgb', 'bgr'])
def test_eight_bits_are_calibrated_on_whole_numbers_as_the_file_sees_them(
    color, photos, toolkit, tmp_path
):
    """Letterboxed, in the file's order, (1, C, H, W); not those that are compared."""
    model = network_file(tmp_path / 'y.onnx', description(color=color))
    made = convert(model, tmp_path / 'y.rknn', 'rk3566', photos, int8=True)
    assert made.calibrated == 12 and made.agreement.photos == 8
    arrays = dict(toolkit.calls)['build']['arrays']
    others = photos[1:16:2] + photos[16:]
    assert len(arrays) == len(others) == 12
    for array, photo in zip(arrays, others, strict=True):
        expected = np.empty((64, 64, 3), np.uint8)
        expected[:] = (3, 2, 1)
        expected[:60] = cv2.imread(photo)
        expected = expected[..., ::-1] if color == 'rgb' else expected
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected.transpose(2, 0, 1)[None])
    assert json.loads((tmp_path / 'y.rknn.json').read_text())['rknn']['type'] == 'int8'


def test_what_the_simulator_computes_is_compared(model, photos, toolkit, tmp_path):
    """All maps 0.05 higher: boxes are 8 times the map, scores go through a sigmoid."""
    toolkit.shift = 0.05
    made = convert(model, tmp_path / 'x.rknn', 'rk3588', photos[:3], score=0.0)
    assert made.agreement.box == pytest.approx(0.4, abs=1e-3)
    assert 0 < made.agreement.score <= 0.05 / 4


def test_a_folder_with_a_space_and_what_the_toolkit_leaves(
    model, photos, toolkit, tmp_path, monkeypatch
):
    here = tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)
    assert convert(model, '../a b/x.rknn', 'rk3588', photos, int8=True).calibrated == 12
    toolkit.refused = 'build'
    with pytest.raises(DetectionError):
        convert(model, 'x.rknn', 'rk3588', photos)
    assert [path.name for path in here.iterdir()] == ['x.rknn.log']


def left(folder) -> set[str]:
    names = {
        path.name for path in folder.iterdir() if 'rknn' in path.name or 'decode' in path.name
    }
    return names - {'x.rknn.log'}


@pytest.mark.parametrize('step', ['load_onnx', 'build', 'export_rknn', 'init_runtime'])
def test_a_refusal_is_told_in_the_toolkits_words(step, model, photos, toolkit, tmp_path):
    toolkit.refused = step
    with pytest.raises(DetectionError) as error:
        convert(model, tmp_path / 'x.rknn', 'rk9', photos)
    assert str(error.value).startswith(f"{model}: Rockchip's toolkit refuses it for rk9: ")
    assert f'E {step}: not like this' in str(error.value) and 'x.rknn.log' in str(error.value)
    assert not left(tmp_path) and toolkit.calls[-1][0] == 'release'


def test_an_operator_that_the_board_would_refuse(model, photos, toolkit, tmp_path):
    toolkit.said = 'No lowering found for: /Min, node type = Min, use CustomOperatorLower instead.'
    with pytest.raises(DetectionError, match=r'the NPU of rk3588 has no Min and would refuse'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', photos)
    toolkit.refused = 'inference'  # what breaks the run is named, too
    with pytest.raises(DetectionError, match=r'has no Min and would refuse'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', photos)
    assert not left(tmp_path)


def test_a_run_that_fails_names_the_log(model, photos, toolkit, tmp_path):
    toolkit.refused = 'inference'
    with pytest.raises(DetectionError, match=r'gave no result .*x\.rknn\.log\)'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', photos)
    assert not left(tmp_path)


@pytest.mark.parametrize(
    'changed', [dict(normalised_in_graph=True), dict(batch=None), dict(layout='NHWC')]
)
def test_other_forms_name_the_options(changed, photos, toolkit, tmp_path):
    model = network_file(tmp_path / 'y.onnx', description(**changed))
    with pytest.raises(DetectionError, match='--decoded --preprocessed --batch 1'):
        convert(model, tmp_path / 'y.rknn', 'rk3588', photos)


def test_wrong_input(model, photos, toolkit, tmp_path):
    with pytest.raises(DetectionError, match=r'name it \*\.rknn'):
        convert(model, tmp_path / 'x.onnx', 'rk3588', photos)
    with pytest.raises(DetectionError, match='no photos'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', [])
    with pytest.raises(DetectionError, match='15 photos are too few'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', photos[:15] * 2, int8=True)
    with pytest.raises(DetectionError, match=r'x\.mnn: give the \*\.onnx'):
        convert(tmp_path / 'x.mnn', tmp_path / 'x.rknn', 'rk3588', photos)
    with pytest.raises(DetectionError, match=r'none\.png'):
        convert(model, tmp_path / 'x.rknn', 'rk3588', [str(tmp_path / 'none.png')])
    assert not toolkit.calls  # before anything is built
    assert not left(tmp_path)


def test_without_the_toolkit(model, photos, tmp_path):
    with pytest.raises(DetectionError, match=r"pip install 'mmdet-lcp-runtime\[to-rknn\]'"):
        convert(model, tmp_path / 'x.rknn', 'rk3588', photos)
