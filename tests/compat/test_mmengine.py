"""mmengine's private names: all used in one place, and looked for at import."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from mmengine.runner import Runner

from mmdet_lcp.compat import mmengine as private

PACKAGE = Path(inspect.getfile(private)).parents[1]


def test_all_are_there():
    private.require_private_names()


def test_a_class_that_has_lost_one_is_named_with_the_releases_that_have_it(monkeypatch):
    monkeypatch.setitem(private._HAD, 'mmengine.hooks.EMAHook', ('_swap_weights',))
    with pytest.raises(ImportError, match=r'EMAHook\._swap_weights, .* lacks.*mmengine 0\.10\.7'):
        private.require_private_names()


def test_an_attribute_that_a_runner_does_not_set_is_named(monkeypatch):
    monkeypatch.setattr(private, '_SET', ('_hooks', '_no_such_loop'))
    with pytest.raises(ImportError, match=r'Runner\(\)\._no_such_loop, ') as found:
        private.require_private_names()
    assert '._hooks' not in str(found.value)


def test_each_name_in_the_file_is_looked_for():
    tree = ast.parse(Path(inspect.getfile(private)).read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match('_[a-z]', node.attr)
    }
    assert used <= {*private._SET, *(name for names in private._HAD.values() for name in names)}


def test_no_other_file_uses_what_a_runner_sets():
    """But for the package's own classes, which set what they use."""
    theirs = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(Runner).strip()))
        if isinstance(node, ast.Attribute) and re.match('_[a-z]', node.attr)
    }
    found = {}
    for path in PACKAGE.rglob('*.py'):
        if '.mim' in path.parts or path.name == 'mmengine.py':
            continue
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
        own = {n.attr for n in nodes if isinstance(n.ctx, ast.Store)}
        own |= {
            n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)
        }
        if used := {n.attr for n in nodes} & theirs - own:
            found[str(path)] = used
    assert not found
