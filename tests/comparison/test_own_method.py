"""docs/own_method.md as it is printed: a criterion outside of the package, compared and run."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from comparisons import Forked, load_tool
from mmdet.apis import init_detector
from mmengine.config import Config

from mmdet_lcp.comparison import Request, find_method, plan_comparison
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import CRITERIA

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fragment(tmp_path, monkeypatch) -> str:
    """The page's files, each named in its first line; what they register is forgotten after."""
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/own_method.md').read_text(), re.S)
    for block in blocks:
        (tmp_path / block.split('\n')[0].removeprefix('# ')).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'my_criteria', raising=False)
    yield str(tmp_path / 'weight_spread.py')
    CRITERIA.module_dict.pop('WeightSpread', None)
    sys.modules.pop('my_criteria', None)


def test_its_module_is_imported_in_each_cell(fragment, config):
    plain, mine = plan_comparison(Request(config, ['l1_norm', fragment], [0.5])).cells
    assert mine.cfg['custom_imports'] == dict(imports=['my_criteria'])
    assert 'custom_imports' not in plain.cfg
    assert find_method(f'{fragment}+lcp_exact').imports == ['my_criteria']


def test_a_module_that_is_not_there(fragment, config):
    Path(fragment).with_name('my_criteria.py').unlink()
    with pytest.raises(CompressionError, match=r'my_criteria.*PYTHONPATH=\.'):
        plan_comparison(Request(config, [fragment], [0.5]))


def test_a_type_that_nobody_imports(config, tmp_path):
    mine = tmp_path / 'mine.py'
    types = "criterion=dict(type='WeightSpread'), update=dict(type='mmdet_lcp.NoUpdate')"
    mine.write_text(f'pruning = dict({types})\n')
    with pytest.raises(CompressionError, match=r'mine: .*WeightSpread.*custom_imports'):
        plan_comparison(Request(config, [str(mine)], [0.5]))


def test_the_tool_runs_it(fragment, config, tmp_path):
    """The command of the page; its processes know the module by PYTHONPATH."""

    def start(command, log, env) -> Forked:
        return Forked(command, log, {**env, 'PYTHONPATH': str(tmp_path)})

    words = ['--criteria', f'{fragment}+exact', '--ratios', '0.5', '--out', str(tmp_path / 'out')]
    words += ['--cfg-options', 'pruning.retrain.max_epochs=1']
    assert load_tool('compare').main([config, *words], start) == 0
    run = tmp_path / 'out/cells/weight_spread+exact_r0.5_s0/run'
    assert json.loads((run / 'report.json').read_text())['method'] == 'Weight spread, exact update'
    dense = torch.load(Config.fromfile(config).load_from, weights_only=False)['state_dict']
    weight = dense['backbone.stage4.0.conv.weight'].flatten(1)
    best = weight.double().numpy().std(1, ddof=1).argsort()[len(weight) // 2 :]
    plan = json.loads((run / 'plan.json').read_text())['modules']
    assert plan['backbone.stage4.0.conv']['out_channels']['keep'] == sorted(best)

    # What is handed out does not need the module; only the line that imports it has to go.
    cfg = Config.fromfile(run / 'pruned_config.py', import_custom_modules=False)
    assert cfg.pop('custom_imports') == dict(imports=['my_criteria'])
    CRITERIA.module_dict.pop('WeightSpread')
    detector = init_detector(cfg, str(run / 'pruned.pth'), device='cpu')
    assert detector.backbone.stage4[0].conv.out_channels == len(best)
