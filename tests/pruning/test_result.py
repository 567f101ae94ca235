"""What prune() returns: told, saved, opened again."""

import detectors
import pytest
import small_ssd
import torch
from mmengine.config import Config
from torch import nn

from mmdet_lcp import CompressionError, explain, load, prune, save
from mmdet_lcp.graph.forward import tensor_forward


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))


@pytest.fixture
def result():
    torch.manual_seed(0)
    return prune(network(), torch.randn(4, 3, 12, 12), ratio=0.5)


def test_a_summary(result):
    lines = str(result).splitlines()
    assert '| 0     |        8 |    4 |' in lines
    # 10x10 and 8x8 positions: 100 * 27 * 8 + 64 * 72 * 4, half of each but for the inputs
    assert 'multiply-accumulates: 40.03 k -> 20.02 k (-50.0%)' in lines
    assert 'parameters: 516 -> 260 (-49.6%)' in lines
    assert lines[-1].startswith('1 groups left alone')


def test_explain(result):
    assert explain(result.plan).splitlines() == [
        '0: out_channels 8 -> 4',
        '2: in_channels 8 -> 4',
    ]
    assert explain(result).splitlines()[2:] == [
        'left alone, 1 groups:',
        "  2: its channels are the detector's outputs",
    ]


def test_saved_and_loaded(result, tmp_path):
    folder = save(result, tmp_path / 'pruned', meta=dict(note='mine'))
    again = load(folder, network())
    x = torch.randn(2, 3, 12, 12)
    assert torch.equal(again(x), result.detector(x))
    assert torch.load(folder / 'pruned.pth', weights_only=True)['meta'] == {'note': 'mine'}


def test_a_detector_is_opened_as_any_of_mmdets(tmp_path):
    detector = small_ssd.build()
    result = prune(detector, detectors.noise(64), ratio=0.5)
    save(
        result,
        tmp_path,
        Config(dict(model=small_ssd.MODEL)),
        meta=dict(dataset_meta=dict(classes=('a', 'b', 'c'))),
    )
    again = load(tmp_path)
    assert type(again) is type(detector) and again.dataset_meta['classes'] == ('a', 'b', 'c')
    noise = detectors.noise(64)
    for one, two in zip(
        tensor_forward(again, noise)[0],
        tensor_forward(result.detector.eval(), noise)[0],
        strict=True,
    ):
        assert torch.equal(one, two)


def test_what_does_not_fit_is_said(result, tmp_path):
    save(result, tmp_path)
    with pytest.raises(CompressionError, match=r'has no pruned_config\.py: give load'):
        load(tmp_path)
    with pytest.raises(CompressionError, match=r'the plan does not fit'):
        load(tmp_path, nn.Sequential(nn.Conv2d(3, 9, 3), nn.ReLU(), nn.Conv2d(9, 4, 3)))
    with pytest.raises(CompressionError, match=r'plan\.json cannot be read'):
        load(tmp_path / 'nowhere', network())
