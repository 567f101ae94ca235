"""A run's state has owners: no runner gets an attribute of its own outside ``__init__``.

What a runner computes once, when it is first asked for (`cached_property`), is no state.
"""

import ast
import dataclasses
import inspect
import textwrap
from functools import cached_property

import pytest
from mmengine.runner import Runner

from mmdet_lcp import PruningRunner, SensitivityRunner, WeightCompressionRunner
from mmdet_lcp.chain.runner import ChainRunner
from mmdet_lcp.distillation.runner import MimicRunner

RUNNERS = (PruningRunner, SensitivityRunner, WeightCompressionRunner, MimicRunner, ChainRunner)


def assigned(function) -> set[str]:
    """Names that a method sets on ``self``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == 'self'
    }


@pytest.mark.parametrize('runner', RUNNERS, ids=lambda runner: runner.__name__)
def test_nothing_appears_outside_init(runner):
    # mmengine builds in its __init__, and what that calls, and rebinds the same names later
    known = assigned(Runner.__init__) | assigned(Runner.setup_env)
    wrong = {}
    for kind in runner.__mro__:
        if not kind.__module__.startswith('mmdet_lcp'):
            continue
        for name, member in vars(kind).items():
            if inspect.isfunction(member):
                known |= assigned(member) if name in ('__init__', 'setup_env') else set()
    for kind in runner.__mro__:
        if not kind.__module__.startswith('mmdet_lcp'):
            continue
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and (more := assigned(member) - known):
                wrong[f'{kind.__name__}.{name}'] = more
    assert not wrong


def set_by(runner) -> set[str]:
    """What a runner has now, less what it computes when first asked for."""
    computed = {
        name
        for kind in type(runner).__mro__
        for name, member in vars(kind).items()
        if isinstance(member, cached_property)
    }
    return set(vars(runner)) - computed


def test_a_run_leaves_no_new_attribute(write_config, build, plain_output, tmp_path):
    """Whoever sets it, and however."""
    runner = build(write_config('no_new_attribute'), work_dir=str(tmp_path / 'out'))
    before = set_by(runner)
    runner.train()
    fields = {field.name for field in dataclasses.fields(runner.job)}
    assert set_by(runner) == before
    assert set(vars(runner.job)) == fields
    assert set(vars(runner.progress)) == {'stages_done', 'steps', 'seconds_before', 'started'}
    declared = {field.name for field in dataclasses.fields(runner.pruning)}
    assert set(vars(runner.pruning)) == declared


def test_the_check_sees_an_attribute():
    class Wrong:
        def train(self):
            self.late = 1

    assert assigned(Wrong.train) == {'late'}
