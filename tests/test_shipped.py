"""Configs and tools are found in an installation and in a checkout."""

import pytest

from mmdet_lcp import shipped as module
from mmdet_lcp.shipped import shipped


@pytest.mark.parametrize(('name', 'file'), [('configs', 'lcp/demo.py'), ('tools', 'train.py')])
def test_here(name, file):
    assert (shipped(name) / file).is_file()


def test_an_installation_goes_before_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / 'mmdet_lcp'
    package.mkdir()
    monkeypatch.setattr(module, '_PACKAGE', package)
    assert shipped('configs') == tmp_path / 'configs'  # beside the package
    (package / '.mim' / 'configs').mkdir(parents=True)
    assert shipped('configs') == package / '.mim' / 'configs'
    assert shipped('tools') == tmp_path / 'tools'
