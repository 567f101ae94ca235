"""docs/own_loss_term.md as it is printed: terms outside of the package, on a small SSD."""

import copy
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import small_ssd
import torch
from mmengine.config import Config
from small_ssd import SIZE, draw

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, find_groups
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.problem import Objective
from mmdet_lcp.registry import LOSS_TERMS

ROOT = Path(__file__).parents[3]
READ, LATER = 'backbone.stage3.1.conv', 'backbone.stage4.2.conv'


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The page's files, each named in its first line; what they register is forgotten after."""
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/own_loss_term.md').read_text(), re.S)
    for block in blocks:
        (tmp_path / block.split('\n')[0].removeprefix('# ')).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'my_terms', raising=False)
    yield tmp_path
    for name in ('Attention', 'Range'):
        LOSS_TERMS.module_dict.pop(name, None)
    sys.modules.pop('my_terms', None)


@pytest.fixture(scope='module')
def dense():
    return small_ssd.build()


@pytest.fixture
def given(dense) -> dict:
    """What the page's Python takes for granted."""
    groups = {group.name: group for group in find_groups(dense, (SIZE, SIZE))}
    group = groups['backbone.stage3.0.conv']
    assert [member.path for member in group.consumers] == [READ]
    detector = copy.deepcopy(dense)
    images = draw(dense, num_images=3)
    return dict(images=images, group=group, dense=dense, detector=detector, plan=Plan())


def by_hand(dense, kernel, images) -> dict[str, float]:
    """Both losses of one batch, from a copy of the detector with the kernel in its place."""

    def maps(detector):
        seen = {}
        for path in (READ, LATER):
            detector.get_submodule(path).register_forward_hook(
                lambda module, args, output, path=path: seen.update({path: output.numpy()})
            )
        with torch.no_grad():
            detector(images, mode='tensor')
        return seen

    changed = copy.deepcopy(dense)
    changed.get_submodule(READ).weight.data = kernel.clone()
    found, original = maps(changed), maps(copy.deepcopy(dense))

    def attention(x):
        x = (x.astype(np.float64) ** 2).mean(1).reshape(len(x), -1)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    apart = attention(found[READ]) - attention(original[READ])
    return {
        'attention': (apart**2).sum(1).mean(),
        'range': np.abs(found[LATER]).reshape(len(images), -1).max(1).mean(),
    }


def test_python_as_printed(folder, given, capsys):
    ended = runpy.run_path(str(folder / 'in_python.py'), init_globals=given)
    shares = [float(word) for word in capsys.readouterr().out.split()]
    assert len(shares) == 2 and len(ended['selection'].keep) == 16
    problem = ended['problem']
    kernel = torch.randn(problem.weights()[READ].shape, generator=torch.manual_seed(0))
    found = problem.gradients({READ: kernel}, apart=None)
    assert list(found.losses) == ['reconstruction', 'attention', 'range']
    (batch,) = given['images'].batches
    expected = by_hand(given['dense'], kernel, batch.inputs)
    assert found.losses['attention'] == pytest.approx(0.1 * expected['attention'], rel=1e-4)
    assert found.losses['range'] == pytest.approx(0.01 * expected['range'], rel=1e-4)
    # Along its own gradient each loss changes as the gradient says.
    for name, weight in (('attention', 0.1), ('range', 0.01)):
        slope = found.by_term[name][READ]
        assert slope.norm() > 0
        step = 1e-2 * slope / slope.norm()
        up, down = (
            weight * by_hand(given['dense'], kernel + sign * step, batch.inputs)[name]
            for sign in (1, -1)
        )
        assert up - down == pytest.approx(2 * float((step * slope).sum()), rel=0.05)


def test_the_criterion_follows_the_terms(folder, given):
    """S_k is the square of the whole gradient; a heavy term ranks otherwise."""
    from my_terms import Range

    def scores(**objective):
        problem = given['images'].problem(
            given['group'], given['dense'], given['detector'], Plan(), Objective(**objective), 0
        )
        return problem, LCP().select(problem, 16)

    _, plain = scores()
    problem, heavy = scores(terms=[Range(LATER, weight=100.0)])
    assert heavy.log['share_range'] > 0.5
    assert np.argsort(heavy.scores).tolist() != np.argsort(plain.scores).tolist()
    gradient = problem.gradients(problem.masked(problem.weights(), [])).total[READ]
    expected = gradient.double().square().sum((0, 2, 3))
    np.testing.assert_allclose(heavy.scores, expected.numpy(), rtol=1e-6)
    _, none = scores(terms=[Range(LATER, weight=0.0)])
    assert none.scores == plain.scores and 'share_range' not in none.log


def test_config_as_printed(folder):
    cfg = Config.fromfile(folder / 'lcp_attention.py')
    attention, ranges = PruningConfig.from_cfg(cfg).objective.terms
    assert (type(attention).__name__, attention.weight) == ('Attention', 0.1)
    assert (ranges.paths, ranges.weight) == ([LATER], 0.01)
    for change, message in (
        (dict(type='Atention'), r"pruning\.objective\.terms\[0\]\.type='Atention' is not regist"),
        (dict(type='Range', pth='x'), r"terms\[0\] has an unknown key 'pth'; .* is 'path'"),
        (dict(type='Attention', weight=-1), r'Attention\.weight=-1'),
    ):
        cfg.pruning.objective.terms = [change]
        with pytest.raises(CompressionError, match=message):
            PruningConfig.from_cfg(cfg)
