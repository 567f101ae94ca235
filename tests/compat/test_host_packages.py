"""What is said where mmdet, mmcv or mmengine is not as it is needed."""

import pytest

from mmdet_lcp.compat import host_packages

from .helpers import fresh_python

EXTRAS = r"pip install .*'mmdet_lcp\[openmmlab\]'.*'mmdet_lcp\[onedl\]'"


def test_nothing_is_missing_here():
    host_packages.require_host_packages()


def test_all_that_is_missing_is_named_with_the_extras(monkeypatch):
    monkeypatch.setitem(host_packages.NEEDED, 'no_such_engine', (1, 0, 0))
    monkeypatch.setitem(host_packages.NEEDED, 'no_such_cv', (1, 0, 0))
    with pytest.raises(ImportError, match=f'needs no_such_engine and no_such_cv: {EXTRAS}') as e:
        host_packages.require_host_packages()
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('installed', ['3.2', '3.3.0', '3.4.0rc1', '3.10.0+local', '4.0.0'])
def test_new_enough(monkeypatch, installed):
    monkeypatch.setattr('mmdet.__version__', installed)
    host_packages.require_host_packages()


@pytest.mark.parametrize('installed', ['2.28.2', '3.1.0', '3.0.0rc6'])
def test_too_old(monkeypatch, installed):
    monkeypatch.setattr('mmdet.__version__', installed)
    message = f'needs mmdet 3.2.0 or newer, {installed} is installed: {EXTRAS}'
    with pytest.raises(ImportError, match=message):
        host_packages.require_host_packages()


def test_mmcv_without_operators(monkeypatch):
    """As `mmcv-lite` is."""
    find = host_packages.find_spec
    monkeypatch.setattr(
        host_packages, 'find_spec', lambda name: None if name == 'mmcv._ext' else find(name)
    )
    with pytest.raises(ImportError, match='with its compiled operators, which this one lacks'):
        host_packages.require_host_packages()


@pytest.mark.parametrize('name', ['mmdet', 'mmcv', 'mmengine'])
def test_a_command_says_it_in_a_line(name):
    """Python finds no module whose place in `sys.modules` is taken by None."""
    done = fresh_python(f"""
        import sys
        sys.modules['{name}'] = None
        from mmdet_lcp_start.commands import main
        sys.exit(main(['train', 'any.py']))
        """)
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: mmdet_lcp needs {name}: pip install ')
    assert done.stderr.count('\n') == 1
