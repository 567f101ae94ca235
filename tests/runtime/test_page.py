"""The script of docs/device.md: taken out, run, and compared with the runtime."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_onnx_files import colour_file, facts

from mmdet_lcp_runtime import Detector

pytest.importorskip('onnxruntime')
PAGE = Path(__file__).parents[2] / 'docs' / 'device.md'


@pytest.fixture(scope='module')
def script() -> str:
    blocks = re.findall(r'^```python\n(.*?)^```$', PAGE.read_text(), flags=re.M | re.S)
    (found,) = (block for block in blocks if 'import onnxruntime' in block)
    return found


def test_it_is_short_and_needs_two_packages(script):
    assert len(script.splitlines()) <= 40
    assert set(re.findall(r'^(?:import|from) (\w+)', script, flags=re.M)) == {
        'json', 'numpy', 'onnxruntime',
    }  # fmt: skip


@pytest.mark.parametrize('mode', ['letterbox', 'stretch'])
def test_it_detects_what_the_runtime_detects(script, mode, tmp_path):
    """Two squares on an image of another size, with nothing else to import."""
    resize = {'mode': mode, 'pad_value': [3, 2, 1] if mode == 'letterbox' else []}
    colour_file(tmp_path / 'detector.onnx', facts(input=dict(color='bgr', resize=resize)))
    image = np.random.default_rng(0).integers(0, 60, (128, 192, 3), np.uint8)
    image[24:48, 48:72, 2] = 255
    image[96:120, 120:144, 0] = 255
    np.save(tmp_path / 'image.npy', image)
    more = """
import sys
image = np.load('image.npy')
boxes, scores, names = detect(image, 0.0)
np.savez('found.npz', boxes=boxes, scores=scores, names=names)
sys.exit(','.join({'PIL', 'cv2', 'torch', 'mmdet_lcp_runtime'} & set(sys.modules)) or 0)
"""
    (tmp_path / 'script.py').write_text(script + more)
    command = [sys.executable, 'script.py']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, expected = np.load(tmp_path / 'found.npz'), Detector(tmp_path / 'detector.onnx')(image)
    assert len(expected) >= 2 and found['names'].tolist() == expected.names
    np.testing.assert_allclose(found['boxes'], expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found['scores'], expected.scores, atol=0.01)  # levels of a pixel
    seen = dict(zip(found['names'].tolist(), found['boxes'].tolist(), strict=True))
    assert set(seen) >= {'red', 'blue'}
