"""A target instead of a ratio, through whole runs on tiny data."""

import json
import re

import pytest
import torch
from mmengine.config import Config
from processes import Script
from ranks import TELL, TELL_PLAN, train_on_two_ranks
from runs import TRAIN

from mmdet_lcp import CompressionError
from mmdet_lcp.measure import latency_table
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.report.report import read_report

# All groups of the backbone, exact, nothing trained but one short epoch at the end.
EXACT = r"""
pruning.update(
    layers=r'^backbone\.',
    target=dict(macs=0.55),
    attachment=None,
    criterion=dict(_delete_=True, type='mmdet_lcp.BackwardElimination'),
    selection=dict(num_images=4),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.001, param_scheduler=None),
    evaluate=(),
)
"""
NO_TEST = 'test_dataloader, test_cfg, test_evaluator = None, None, None\n'
L1 = "pruning.update(criterion=dict(_delete_=True, type='mmdet_lcp.L1Norm'))\n"


@pytest.fixture(scope='module')
def run(write_config, prune):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
        return prune(write_config('target', EXACT))


def test_the_target_is_reached(run):
    report = run.report
    reached = report['compressed']['macs'] / report['dense']['macs']
    assert 0.54 < reached <= 0.55
    found = detector_cost(run.detector, run.runner.job.image_size)
    assert found['macs'] == report['compressed']['macs']
    target = report['target']
    assert (target['cost'], target['asked']) == ('macs', 0.55)
    assert target['predicted'] == pytest.approx(reached, rel=1e-12)
    assert target['reached'] == reached
    assert 0 < target['floor'] < 0.2


def test_what_was_shared_out_is_what_was_removed(run):
    shared = json.loads((run.work_dir / 'pruning_state' / 'target.json').read_text())
    kept = {group['name']: group['kept'] for group in run.report['groups']}
    asked = {group['name']: group['asked'] for group in run.report['groups']}
    assert kept == asked
    whole = [
        item for item in run.report['skipped'] if 'pruning.target is reached' in item['reason']
    ]
    assert {**kept, **{item['name']: shared['counts'][item['name']] for item in whole}} == (
        shared['counts']
    )
    for name, count in kept.items():
        assert run.weights[f'{name}.weight'].shape[0] == count


def test_groups_lose_different_parts(run):
    ratios = {group['kept'] / group['total'] for group in run.report['groups']}
    assert len(ratios) > 3


def test_it_is_told(run):
    log = next(run.work_dir.glob('2*/*.log')).read_text()
    assert re.search(r'Scored 10/10 groups, backbone\.stage4\.2\.conv', log)
    assert re.search(r'Target: 0\.550 of the multiply-accumulates .* Predicted: 0\.5[45]', log)
    decided, trained = log.index('Target: 0.550'), log.index('Epoch(train)')
    assert decided < log.index('Stage 1/') < trained
    text = (run.work_dir / 'report.md').read_text()
    assert re.search(r'macs, share of dense\s*\|\s*0\.550\s*\|\s*0\.5\d\d\s*\|\s*0\.5', text)
    assert re.search(r'macs, share of dense', log[log.index('Stage 1/') :])
    again = read_report(run.work_dir / 'report.json')
    assert again.target.asked == 0.55


def test_killed_when_it_was_shared_out(run, tmp_path):
    """The same plan, from what was written down."""
    out = tmp_path / 'out'
    args = [run.config, '--work-dir', out, '--resume']
    shared = out / 'pruning_state' / 'target.json'
    Script(TRAIN, args, tmp_path / '1').kill_when(shared.exists)
    before = shared.read_bytes()
    again = Script(TRAIN, args, tmp_path / '2').check()
    assert shared.read_bytes() == before
    assert 'Scored' not in again.out + again.err
    assert (out / 'plan.json').read_bytes() == (run.work_dir / 'plan.json').read_bytes()
    weights = torch.load(out / 'pruned.pth', weights_only=True)['state_dict']
    for key, value in run.weights.items():
        assert torch.equal(weights[key], value), key


def test_a_damaged_share(run, build, tmp_path):
    out = tmp_path / 'out'
    state = out / 'pruning_state'
    state.mkdir(parents=True)
    for name in ('run.json', 'dense.pth', 'target.json'):
        (state / name).write_bytes((run.work_dir / 'pruning_state' / name).read_bytes())
    (state / 'target.json').write_text('{"cost"')
    with pytest.raises(CompressionError, match=r'target\.json is damaged.*anew'):
        build(run.config, work_dir=str(out), resume=True).train()


def test_latency(write_config, prune, monkeypatch, plain_output):
    """On the real clock; how fast it is, nobody asserts."""
    monkeypatch.setattr(latency_table, 'MIN_RUN_TIME', 1e-4)
    more = EXACT + L1 + 'pruning.update(target=dict(latency=0.9), retrain=dict(max_epochs=0))\n'
    found = prune(write_config('latency', more + NO_TEST))
    shared = json.loads((found.work_dir / 'pruning_state' / 'target.json').read_text())
    target = found.report['target']
    assert shared['measured'] > 0 and target['reached'] > 0
    assert target['asked'] == 0.9 and target['cost'] == 'latency'
    table = json.loads((found.work_dir / 'latency_table.json').read_text())
    assert len(table['layers']) >= 10 and len(table['anchors']) == 3
    log = next(found.work_dir.glob('2*/*.log')).read_text()
    assert re.search(r'Target: 0\.900 of the latency .* Predicted: .*Measured: ', log)


def test_ranks_agree(write_config, tmp_path):
    """Each has half of the images; the one plan is that of all of them."""
    (tmp_path / 'tell_plan.py').write_text(TELL_PLAN)
    more = "pruning.update(layers=r'stage[34]', retrain=dict(max_epochs=0))\n"
    more += "pruning.update(target=dict(macs=0.55, max_ratio=0.95, spread='auto'))\n"
    config = write_config('target_ranks', EXACT + more + NO_TEST)
    one = write_config('target_one_rank', EXACT + more + NO_TEST)
    config.write_text(config.read_text() + TELL)
    train_on_two_ranks(config, tmp_path)
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    assert ranks[0][0] == ranks[1][0] == json.loads((tmp_path / 'out' / 'plan.json').read_text())
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert 0.54 < report['target']['reached'] <= 0.55
    shared = json.loads((tmp_path / 'out' / 'pruning_state' / 'target.json').read_text())
    assert report['settings']['target'] == f'macs 0.55, spread {shared["spread"]:g}'
    log = next((tmp_path / 'out').glob('2*/*.log')).read_text()
    tried = re.findall(r'\d/\d: spread (\S+), loss ([\d.e-]+)', log)
    assert len(tried) > 1
    assert shared['spread'] == float(min(tried, key=lambda one: float(one[1]))[0])
    # One process comes to the same.
    alone = Script(TRAIN, [one, '--work-dir', tmp_path / 'alone'], tmp_path / '1').check()
    assert 'ways to share the target out' in alone.out + alone.err
    assert json.loads((tmp_path / 'alone' / 'plan.json').read_text()) == ranks[0][0]


class TestRatioFile:
    PATTERNS = {r'^backbone\.stage4\.0\.conv$': 0.25, r'stage4\.1': 0.5}  # noqa: RUF012

    @pytest.fixture
    def config(self, write_config, tmp_path):
        path = tmp_path / 'ratios.json'
        path.write_text(json.dumps(self.PATTERNS))
        more = f'pruning.update(target=None, ratio={str(path)!r}, retrain=dict(max_epochs=0))\n'
        return write_config('ratio_file', EXACT + L1 + more + NO_TEST), path

    def test_is_read_and_kept(self, config, prune, build, tmp_path, plain_output):
        config, path = config
        found = prune(config, work_dir=str(tmp_path / 'out'))
        kept = {group['name']: group['kept'] for group in found.report['groups']}
        assert kept == {'backbone.stage4.0.conv': 48, 'backbone.stage4.1.conv': 32}
        dumped = Config.fromfile(next((tmp_path / 'out').glob('ratio_file.py')))
        assert dumped.pruning.ratio == self.PATTERNS
        # other ratios in the file are those of another run
        path.write_text(json.dumps({'stage4': 0.5}))
        with pytest.raises(CompressionError, match=r'another run:\n  pruning\.ratio'):
            build(config, work_dir=str(tmp_path / 'out'), resume=True).train()

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('[0.5]', r"pruning\.ratio='.*json': holds no mapping"),
            ('{}', 'holds no mapping'),
            ('{"a": ', 'cannot be read'),
            ('{"stage4": 1.5}', r"pruning\.ratio\['stage4'\]=1\.5"),
            ('{"(": 0.5}', 'not a regular expression'),
        ],
    )
    def test_is_wrong(self, config, build, text, message):
        config, path = config
        path.write_text(text)
        with pytest.raises(CompressionError, match=message):
            build(config)
        path.unlink()
        with pytest.raises(CompressionError, match=r'ratios\.json.*cannot be read'):
            build(config)


MISTAKES = {
    'unknown cost': ({'pruning.target': {'mac': 0.5}}, r"pruning\.target .*'mac'.* 'macs'"),
    'two costs': ({'pruning.target.params': 0.5}, r'exactly one of macs, params and latency'),
    'out of range': ({'pruning.target.macs': 1.5}, r'pruning\.target\.macs=1\.5'),
    'a number': ({'pruning.target': 0.5}, r'pruning\.target must be a dict'),
    'and a ratio': ({'pruning.ratio': 0.5}, r'pruning\.ratio=0\.5 and .* set pruning\.ratio=None'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes(write_config, build, tmp_path, mistake):
    change, message = MISTAKES[mistake]
    config = write_config('target_mistakes', EXACT)
    out = tmp_path / 'out'
    with pytest.raises(CompressionError, match=message):
        build(config, work_dir=str(out), **change)
    assert not out.exists()


def test_out_of_reach(write_config, build, tmp_path):
    config = write_config('target_mistakes', EXACT)
    options = {'pruning.target.macs': 0.02, 'work_dir': str(tmp_path / 'out')}
    with pytest.raises(
        CompressionError, match=r'macs=0\.02 cannot be reached: .* is left'
    ) as error:
        build(config, **options).train()
    assert not (tmp_path / 'out' / 'pruning_state').exists()
    # what a line is said to give is what a run with it has
    found = re.findall(r'pruning = dict\((.*)\)  # smallest: (0\.\d{3})', str(error.value))
    assert found[0][0] == "layers='.'" and found[-1][0].endswith('target=dict(max_ratio=0.95)')
    for number, (line, floor) in enumerate((found[0], found[-1])):
        share = 0.9 * float(floor)
        line = line.replace('max_ratio', f'macs={share}, max_ratio')
        config = write_config(f'helped{number}', f'{EXACT}pruning.update({line})\n')
        options = {'pruning.target.macs': share, 'work_dir': str(tmp_path / f'out{number}')}
        with pytest.raises(CompressionError, match=f'smallest, {floor} of the dense'):
            build(config, **options).train()


def test_a_criterion_that_cannot_rank(write_config, build, tmp_path, monkeypatch):
    from mmdet_lcp.pruning.criteria import Criterion, L1Norm

    monkeypatch.setattr(L1Norm, 'removal_costs', Criterion.removal_costs)
    config = write_config('target_l1', EXACT + L1)
    with pytest.raises(CompressionError, match='criterion L1Norm does not say'):
        build(config, work_dir=str(tmp_path / 'out')).train()
