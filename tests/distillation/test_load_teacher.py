"""The teacher that a config names, and what is said where there is none."""

import pytest
import torch

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.config import TeacherConfig
from mmdet_lcp.distillation.load_teacher import load_teacher


def test_weights_are_those_of_the_file(plain):
    checkpoint = plain.with_name('dense.pth')
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    detector, meta = load_teacher(TeacherConfig(str(plain), str(checkpoint)), 'mimic.teacher')
    assert torch.equal(torch.random.get_rng_state(), before)
    expected = torch.load(checkpoint, weights_only=True)['state_dict']
    assert meta == {}
    for key, value in detector.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_config_of_the_package(tmp_path):
    config = TeacherConfig('mmdet_lcp::ssd/ssd_narrow_vgg_bccd.py', str(tmp_path / 'no.pth'))
    with pytest.raises(CompressionError, match=r'no.pth.*there is no such file'):
        load_teacher(config, 'mimic.teacher')


class TestBadInput:
    def fails(self, words, config, checkpoint):
        config = TeacherConfig(config and str(config), checkpoint and str(checkpoint))
        with pytest.raises(CompressionError, match=words) as caught:
            load_teacher(config, 'mimic.teacher')
        return str(caught.value)

    def test_none(self):
        self.fails(r'mimic.teacher is missing.*mimic.teacher=dict\(config=', None, None)

    def test_missing_config(self, tmp_path):
        self.fails('mimic.teacher.config: .*there is no such config', tmp_path / 'a.py', 'b.pth')

    def test_broken_config(self, tmp_path):
        path = tmp_path / 'a.py'
        path.write_text('model = dict(')
        self.fails('mimic.teacher.config: .*cannot be read', path, 'b.pth')
        path.write_text('models = dict()')
        self.fails('mimic.teacher.config=.* has no `model`', path, 'b.pth')

    def test_missing_checkpoint(self, plain):
        self.fails("mimic.teacher.checkpoint='b.pth': there is no such file", plain, 'b.pth')

    def test_checkpoint_of_another_detector(self, plain, tmp_path):
        path = tmp_path / 'other.pth'
        weights = torch.load(plain.with_name('dense.pth'), weights_only=True)['state_dict']
        weights['neck.extra_layers.0.0.conv.weight'] = torch.zeros(1, 2, 3, 3)
        torch.save({'state_dict': weights}, path)
        message = self.fails('mimic.teacher: .*another architecture', plain, path)
        assert '(1, 2, 3, 3) in the file' in message
