"""The command ``mmdet-lcp-rknn``."""

import fake_rknn
import numpy as np
import pytest
from made_onnx_files import network_file

from mmdet_lcp_runtime import command as detect
from mmdet_lcp_runtime.rknn.command import main, parse_args

cv2 = pytest.importorskip('cv2')


@pytest.fixture
def folder(monkeypatch, tmp_path):
    fake_rknn.install(monkeypatch)
    network_file(tmp_path / 'x.onnx')
    generator = np.random.default_rng(0)
    for number in range(16):
        image = generator.integers(95, 125, (64, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{number:02}.png'), image)
    return tmp_path


def test_it_says_what_was_written_and_what_comes_next(folder, capfd):
    photos = sorted(map(str, folder.glob('*.png')))
    out = str(folder / 'x.rknn')
    given = [str(folder / 'x.onnx'), *photos, '--platform', 'rk3588', '--out', out, '--int8']
    assert main([*given, '--score', '0.4']) == 0
    told = capfd.readouterr().out.splitlines()
    assert told[0].startswith(f'{out}: rk3588, int8, calibrated on 8 photos, 0.')
    assert (
        "in the toolkit's simulator, on 8 photos: " in told[1]
        and '64 of 64 detections again, 0 others' in told[1]
    )
    assert told[2].endswith('mmdet-lcp-detect x.rknn photo.jpg --out seen.jpg')
    assert len(told) == 3  # the stand-in counts no cycles
    assert detect.main([out, photos[0], '--score', '0.4']) == 0


def test_an_error_is_one_line(folder, capsys):
    given = [str(folder / 'x.onnx'), str(folder / '00.png'), '--platform', 'rk3588']
    assert main([*given, '--out', str(folder / 'x.bin')]) == 1
    assert capsys.readouterr().err == f'error: {folder / "x.bin"}: name it *.rknn\n'


def test_the_help_shows_both_commands(capsys):
    with pytest.raises(SystemExit):
        parse_args(['--help'])
    told = capsys.readouterr().out
    assert '--decoded --preprocessed --batch 1' in told and '--platform rk3588' in told
