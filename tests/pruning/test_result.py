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
    assert lines[-1].startswith('1 group left alone')


def test_explain(result):
    assert explain(result.plan).splitlines() == [
        '0: out_channels 8 -> 4',
        '2: in_channels 8 -> 4',
    ]
    assert explain(result).splitlines() == [
        '0: 8 -> 4 channels',
        '  0: out_channels 8 -> 4',
        '  2: in_channels 8 -> 4',
        '1 group left alone:',
        "  2: its channels are the network's outputs",
    ]


class Joined(nn.Module):
    """One layer reads what two write, one behind the other."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(12, 2, 1)

    def forward(self, x):
        return self.c(torch.cat([self.a(x).relu(), self.b(x).relu()], 1))


def test_explain_group_by_group():
    ratio = {'a': 0.75, 'b': 0.5}
    result = prune(Joined(), torch.randn(4, 3, 8, 8), ratio=ratio, channel_divisor=1)
    assert explain(result).splitlines()[:6] == [
        'a: 8 -> 2 channels',
        '  a: out_channels 8 -> 2',
        '  c: in_channels 8 -> 2 (of 12)',
        'b: 4 -> 2 channels',
        '  b: out_channels 4 -> 2',
        '  c: in_channels 4 -> 2 (of 12)',
    ]
    assert 'c: in_channels 12 -> 4' in explain(result.plan).splitlines()


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
    with pytest.raises(CompressionError, match=r'load\(folder, network\) takes .* not str'):
        load(tmp_path, 'network')
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / 'pruned.pth')
    words = (
        r'weights of another network than the Sequential [\s\S]*Give load\(\) the dense network'
    )
    with pytest.raises(CompressionError, match=words):
        load(tmp_path, network())


@pytest.mark.parametrize('given', [None, network(), 'plan.json', {}])
def test_what_is_no_result(given, tmp_path):
    with pytest.raises(CompressionError, match=r'explain\(\) takes what prune\(\) returns'):
        explain(given)
    with pytest.raises(CompressionError, match=r'save\(\) takes what prune\(\) returns, not'):
        save(given, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (dict(config=dict(model={})), r'save\(config=...\) takes a Config, .* not dict'),
        (dict(config='my_ssd.py'), r'save\(config=...\) takes a Config, .* not str'),
        (dict(config=Config(dict(a=1))), 'the config has no `model`'),
        (dict(meta=dict(f=nn.ReLU())), r'plain data.*; no torch\.nn\.modules\.activation\.ReLU'),
        (dict(meta=dict(f=lambda: 0)), r'save\(meta=...\) takes plain data'),
        (dict(meta=['a']), r'save\(meta=...\) takes a dict, not list'),
    ],
)
def test_what_is_not_saved(result, tmp_path, given, words):
    with pytest.raises(CompressionError, match=words):
        save(result, tmp_path / 'out', **given)
    assert not (tmp_path / 'out').exists()


def test_a_folder_that_is_a_file(result, tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(CompressionError, match='file cannot be a folder'):
        save(result, tmp_path / 'file')
    assert (tmp_path / 'file').read_text() == 'mine'
