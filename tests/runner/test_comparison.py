"""Cells of a comparison: which, with which config and training; and how they are run."""

import json
import subprocess
import sys
import time
from pathlib import Path

import made_reports
import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp.analysis.cost import detector_cost
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.runner.comparison import (
    Request,
    find_method,
    list_methods,
    plan_comparison,
    run_comparison,
    start_process,
)
from mmdet_lcp.runner.comparison.budget import share_out
from mmdet_lcp.runner.comparison.cell_pace import CellPace
from mmdet_lcp.runner.comparison.cells import Cell
from mmdet_lcp.runner.comparison.config_text import config_text, fingerprint
from mmdet_lcp.runner.comparison.folder import locked
from mmdet_lcp.runner.comparison.jobs import Job, run_jobs
from mmdet_lcp.runner.comparison.methods import fragments_folder
from mmdet_lcp.runner.config import PruningConfig

# Two groups, 3 iterations an epoch: 2 x 1 + 4 x 3 = 14 iterations in all.
GROUND = r"""
pruning.update(
    layers=r'stage4\.[01]\.conv',
    selection=dict(num_images=2, positions=dict(objects=0.9)),
    finetune=dict(max_epochs=None, max_iters=1, lr=0.003, param_scheduler=None),
    retrain=dict(max_epochs=4, lr=0.002, param_scheduler=[
        dict(type='MultiStepLR', milestones=[2, 3])]),
    evaluate=('pruned',),
)
train_cfg = dict(max_epochs=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', milestones=[3, 5]),
]
"""
RATIOS = 'pruning.update(ratio={"_delete_": True, r"4\\.0": 0.75, r"4\\.1": 0.25})\n'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('comparison')
    tiny.make_data(folder / 'digits')
    return folder


@pytest.fixture(scope='module')
def config(folder) -> str:
    return str(tiny.make_config(folder, folder / 'digits', 'ground', GROUND))


@pytest.fixture(scope='module')
def plan(config):
    names = ['lcp', 'lcp+exact', 'lcp_exact', 'scratch', 'uniform']
    return plan_comparison(Request(config, names, [0.5], [3, 1], finetune_iters=2))


def cell_of(plan, name: str) -> Cell:
    return next(cell for cell in plan.cells if cell.name == name)


class TestMethods:
    def test_every_fragment_of_a_method_is_listed(self):
        methods = list_methods()
        assert {'lcp', 'lcp_exact'} <= set(methods)
        assert methods['lcp'] == 'Localization-aware Channel Pruning.'
        assert not {'lcp_vgg16', 'lcp_r50', 'sweep'} & set(methods)  # of no method of their own

    def test_own_parts_replace_the_configs(self, config):
        pruning = Config.fromfile(config).pruning.to_dict()
        method = find_method('lcp')
        own = method.apply(pruning)
        assert own['update']['type'] == method.parts['update']['type'] == 'mmdet_lcp.SGDUpdate'
        assert own['selection'] == dict(num_images=2)  # positions are the method's: LCP has none
        for key in ('layers', 'finetune', 'retrain', 'evaluate'):
            assert own[key] == pruning[key]
        assert pruning['selection']['positions'] == dict(objects=0.9)  # left as it was

    def test_positions_come_along(self, config):
        method = find_method('lcp_exact')
        own = method.apply(Config.fromfile(config).pruning.to_dict())
        assert own['selection'] == dict(num_images=2, positions=method.positions)

    @pytest.mark.parametrize(
        ('name', 'update'),
        [('exact', 'ExactUpdate'), ('none', 'NoUpdate'), ('sgd', 'SGDUpdate')],
    )
    def test_another_update(self, name, update):
        method = find_method(f'lcp+{name}')
        assert (method.name, method.update) == (f'lcp+{name}', update)
        assert method.parts['criterion'] == find_method('lcp').parts['criterion']
        assert method.trains_along

    def test_the_update_of_another_method(self):
        method, other = find_method('lcp+lcp_exact'), find_method('lcp_exact')
        assert method.parts['update'] == other.parts['update']
        assert method.positions == other.positions
        assert method.parts['criterion'] == find_method('lcp').parts['criterion']

    def test_a_path(self, tmp_path):
        path = tmp_path / 'mine.py'
        path.write_text(f'_base_ = {str(fragments_folder() / "lcp.py")!r}\n')
        assert find_method(f'{path}+none').name == 'mine+none'

    @pytest.mark.parametrize(
        ('name', 'words'),
        [
            ('lcpp', "no method 'lcpp'; the nearest is 'lcp'. Methods: "),
            ('scrach', "the nearest is 'scratch'"),
            ('lcp+exct', "no update 'exct'; the nearest is 'exact'"),
            ('nowhere.py', 'nowhere.py: there is no such fragment'),
            ('sweep', 'criterion'),
        ],
    )
    def test_unknown_names(self, name, words):
        with pytest.raises(CompressionError) as error:
            find_method(name, ['scratch', 'uniform'])
        assert words in str(error.value)


class TestPlan:
    def test_cells(self, plan):
        assert [cell.name for cell in plan.cells] == [
            f'{method}_r0.5_s{seed}'
            for seed in (3, 1)
            for method in ('lcp', 'lcp+exact', 'lcp_exact', 'scratch', 'uniform')
        ]

    def test_every_method_trains_as_long(self, plan):
        assert [cell.total for cell in plan.cells[:3]] == [14, 14, 14]
        assert [cell.iterations for cell in plan.cells[:3]] == ['2 x 2 + 10', '2 x 2 + 10', '14']

    def test_the_schedule_keeps_its_shape(self, plan):
        """Steps after 2 and 3 of 4 epochs, in a retraining of 10 and of 14 iterations."""
        for name, iterations, steps in (('lcp', 10, [5, 8]), ('lcp_exact', 14, [7, 10])):
            retrain = cell_of(plan, f'{name}_r0.5_s1').cfg['pruning']['retrain']
            assert (retrain['max_epochs'], retrain['max_iters']) == (None, iterations)
            (schedule,) = retrain['param_scheduler']
            assert (schedule['by_epoch'], schedule['milestones']) == (False, steps)
            assert retrain['lr'] == 0.002
        finetune = cell_of(plan, 'lcp_r0.5_s1').cfg['pruning']['finetune']
        assert (finetune['max_iters'], finetune['lr']) == (2, 0.003)

    def test_a_cells_config_stands_alone(self, plan, tmp_path):
        cell = cell_of(plan, 'lcp+exact_r0.5_s3')
        path = tmp_path / 'cell.py'
        path.write_text(config_text(cell.cfg))
        cfg = Config.fromfile(path)
        assert cfg.to_dict() == cell.cfg
        assert fingerprint(cfg.to_dict()) == cell.fingerprint
        assert cfg.randomness.seed == 3 and Path(cfg.load_from).is_absolute()
        assert PruningConfig.from_cfg(cfg).ratio == 0.5
        assert cfg.default_hooks.checkpoint.max_keep_ckpts == 1

    def test_numbers_that_are_no_literals(self, tmp_path):
        path = tmp_path / 'cell.py'
        path.write_text(config_text(dict(a=[float('inf')], b=dict(c=1.5, d=None))))
        assert Config.fromfile(path).to_dict() == dict(a=[float('inf')], b=dict(c=1.5, d=None))

    def test_what_does_not_decide_is_not_in_the_fingerprint(self):
        cfg = dict(model=1, train_dataloader=dict(batch_size=2, num_workers=0), work_dir='a')
        other = dict(cfg, work_dir='b', train_dataloader=dict(batch_size=2, num_workers=4))
        assert fingerprint(cfg) == fingerprint(other)
        assert fingerprint(cfg) != fingerprint(dict(cfg, model=2))

    def test_several_ratios_and_the_configs_own(self, folder, config):
        plan = plan_comparison(Request(config, ['lcp_exact'], [0.3, 0.7]))
        ratios = [cell.cfg['pruning']['ratio'] for cell in plan.cells]
        assert [c.name for c in plan.cells] == ['lcp_exact_r0.3_s0', 'lcp_exact_r0.7_s0']
        assert ratios == [0.3, 0.7]
        assert plan_comparison(Request(config, ['lcp_exact'])).cells[0].ratio == 0.5

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (dict(methods=['lcpp']), "nearest is 'lcp'"),
            (dict(methods=['lcp', 'lcp']), 'names a method twice'),
            (dict(methods=[]), 'names no method'),
            (dict(ratios=[0.5, 1.0]), '--ratios 1 is the fraction'),
            (dict(ratios=[0.0]), '--ratios 0 is the fraction'),
            (dict(ratios=[0.5, 0.5]), '--ratios names a value twice'),
            (dict(seeds=[1, 1]), '--seeds names a value twice'),
            (dict(seeds=[-1]), '--seeds must be integers'),
            (dict(finetune_iters=0), '--finetune-iters must be at least 1'),
            (dict(config='nowhere.py'), 'nowhere.py: there is no such config'),
            (dict(checkpoint='nowhere.pth'), "--checkpoint='nowhere.pth': there is no such file"),
            (dict(cfg_options={'load_from': None}), 'name its checkpoint with --checkpoint'),
            (dict(cfg_options={'load_from': 'x.pth'}), "load_from='x.pth'"),
            (dict(cfg_options={'pruning.retrain.max_epoch': 1}), "'max_epochs'"),
            (
                dict(finetune_iters=7),
                'lcp: 2 groups x 7 iterations before each are 14, and the whole budget is 14',
            ),
            (
                dict(methods=['scratch'], cfg_options={'train_cfg.max_epochs': None}),
                'scratch: the config has no train_cfg.max_epochs',
            ),
        ],
    )
    def test_bad_input(self, config, changes, words):
        with pytest.raises(CompressionError) as error:
            plan_comparison(Request(**{'config': config, 'methods': ['lcp'], **changes}))
        assert words in str(error.value)

    def test_nothing_to_share_out(self):
        assert share_out(0, 3, 0, 'a').total == 0
        assert share_out(7, 3, 2, 'a').retrain == 1


class TestControls:
    def test_trained_as_the_dense_one_and_for_the_budget_on_top(self, plan):
        cell = cell_of(plan, 'scratch_r0.5_s1')
        assert cell.cfg['train_cfg']['max_epochs'] == 6 + 5  # 14 iterations: 5 epochs of 3
        assert (cell.total, cell.iterations) == (33, '6 + 5 epochs')
        warm_up, steps = cell.cfg['param_scheduler']
        assert warm_up['end'] == 50
        assert steps['milestones'] == [round(3 * 11 / 6), round(5 * 11 / 6)]
        assert 'pruning' not in cell.cfg and 'runner_type' not in cell.cfg
        assert cell.cfg['load_from'] is None
        assert cell.cfg['randomness']['seed'] == 1

    def test_the_pruned_architecture(self, plan, config):
        dense = MODELS.build(Config.fromfile(config).model)
        scratch = MODELS.build(Config(cell_of(plan, 'scratch_r0.5_s1').cfg).model)
        for path, kept in (('stage4.0', 0.5), ('stage4.1', 0.5), ('stage4.2', 1)):
            before, after = (
                getattr(d.backbone, path[:6])[int(path[-1])].conv.out_channels
                for d in (dense, scratch)
            )
            assert after == kept * before
        scratch.init_weights()
        assert torch.isfinite(scratch.backbone.stage4[0].conv.weight).all()

    def test_one_ratio_is_uniform_already(self, plan):
        assert cell_of(plan, 'uniform_r0.5_s1').same_as == 'scratch_r0.5_s1'
        (note,) = plan.notes
        assert 'its architecture is that of scratch, whose result it shares' in note

    def test_uniform_by_itself_is_trained(self, config):
        plan = plan_comparison(Request(config, ['uniform'], [0.5]))
        assert plan.cells[0].same_as is None and 'shares' not in plan.notes[0]

    def test_uniform_has_the_macs_of_unequal_ratios(self, folder):
        config = tiny.make_config(folder, folder / 'digits', 'unequal', GROUND + RATIOS)
        plan = plan_comparison(Request(str(config), ['scratch', 'uniform']))
        scratch, uniform = (MODELS.build(Config(cell.cfg).model).eval() for cell in plan.cells)
        assert [cell.ratio for cell in plan.cells] == ['config', 'config']
        widths = [b.conv.out_channels for b in uniform.backbone.stage4[:2]]
        assert widths[0] == widths[1]
        assert widths != [b.conv.out_channels for b in scratch.backbone.stage4[:2]]
        macs = [detector_cost(d, (64, 64))['macs'] for d in (scratch, uniform)]
        assert macs[1] == pytest.approx(macs[0], rel=0.01)

    def test_options_of_their_own(self, config, plan):
        options = {'optim_wrapper.optimizer.lr': 0.5}
        request = Request(
            config, ['lcp', 'scratch'], [0.5], [1], finetune_iters=2, scratch_options=options
        )
        pruned, scratch = plan_comparison(request).cells
        assert scratch.cfg['optim_wrapper']['optimizer']['lr'] == 0.5
        assert pruned.cfg == cell_of(plan, pruned.name).cfg
        before = cell_of(plan, scratch.name).cfg
        assert {k for k in before if before[k] != scratch.cfg[k]} == {'optim_wrapper'}

    @pytest.mark.parametrize(
        ('methods', 'key', 'words'),
        [
            (
                ['lcp'],
                'optim_wrapper.optimizer.lr',
                '--criteria names none of scratch and uniform',
            ),
            (['lcp', 'scratch'], 'pruning.ratio', 'only its training may differ'),
            (['uniform'], 'model.backbone.depth', 'only its training may differ'),
            (['dense_retrained'], 'train_cfg.max_epochs', 'none of scratch and uniform'),
        ],
    )
    def test_options_that_cannot_be_theirs(self, config, methods, key, words):
        with pytest.raises(CompressionError) as error:
            plan_comparison(Request(config, methods, [0.5], scratch_options={key: 0.5}))
        assert words in str(error.value)

    def test_the_dense_detector_trained_on(self, config):
        request = Request(config, ['dense_retrained'], [0.5, 0.25], [2], macs=[0.97])
        first, *others = plan_comparison(request).cells
        given = Config.fromfile(config)
        assert first.cfg['model'] == given.model.to_dict()
        assert Path(first.cfg['load_from']) == Path(given.load_from).resolve()
        assert 'pruning' not in first.cfg and 'runner_type' not in first.cfg
        assert first.cfg['train_cfg']['max_epochs'] == 5  # 14 iterations of 3 an epoch
        assert (first.total, first.iterations) == (15, '5 epochs')
        assert first.cfg['optim_wrapper']['optimizer']['lr'] == given.pruning.retrain.lr
        assert first.cfg['randomness']['seed'] == 2
        assert first.same_as is None
        assert [cell.same_as for cell in others] == [first.name] * 2

    def test_nothing_to_train_on(self, folder):
        given = "pruning['finetune']['max_iters'] = pruning['retrain']['max_epochs'] = 0\n"
        config = tiny.make_config(folder, folder / 'digits', 'untrained', GROUND + given)
        with pytest.raises(CompressionError, match='would be the dense detector itself'):
            plan_comparison(Request(str(config), ['dense_retrained'], [0.5]))

    def test_ratios_from_a_file(self, folder):
        path = folder / 'ratios.json'
        path.write_text('{"stage4.0": 0.25, "stage4.1": 0.75}')
        given = f'pruning.update(ratio={str(path)!r})\n'
        config = tiny.make_config(folder, folder / 'digits', 'from_file', GROUND + given)
        (cell,) = plan_comparison(Request(str(config), ['lcp_exact'])).cells
        assert cell.ratio == 'config'
        assert cell.cfg['pruning']['ratio'] == {'stage4.0': 0.25, 'stage4.1': 0.75}

    def test_a_target_is_no_ground_for_a_comparison(self, folder):
        given = 'pruning.update(target=dict(macs=0.5), ratio=None)\n'
        config = tiny.make_config(folder, folder / 'digits', 'target', GROUND + given)
        with pytest.raises(CompressionError, match=r'--macs .* pruning\.target=None'):
            plan_comparison(Request(str(config), ['lcp_exact']))


class TestShares:
    """Amounts that are told as what may remain of the multiply-accumulates."""

    def test_every_method_has_the_target(self, config):
        request = Request(config, ['lcp_exact', 'l1_norm+exact'], macs=[0.97], seeds=[4])
        plan = plan_comparison(request)
        assert [cell.name for cell in plan.cells] == [
            'lcp_exact_rmacs0.97_s4',
            'l1_norm+exact_rmacs0.97_s4',
        ]
        for cell in plan.cells:
            pruning = PruningConfig.from_cfg(cell.cfg)
            assert (pruning.ratio, pruning.target.macs) == (None, 0.97)
            assert cell.total == 14
        assert plan.notes == []

    def test_beside_ratios_in_one_folder(self, config):
        both = plan_comparison(Request(config, ['lcp_exact'], [0.5], macs=[0.97]))
        assert [cell.ratio for cell in both.cells] == [0.5, 'macs0.97']
        assert both.cells[0].cfg['pruning'].get('target') is None
        assert both.shared == plan_comparison(Request(config, ['lcp_exact'], [0.5])).shared

    def test_groups_left_whole_are_told(self, config):
        (note,) = plan_comparison(Request(config, ['lcp'], macs=[0.97], finetune_iters=2)).notes
        assert note.startswith('lcp at macs0.97: trains 2 iterations less for each group')

    def test_out_of_reach(self, config):
        with pytest.raises(CompressionError, match=r'target\.macs=0\.01 cannot be reached'):
            plan_comparison(Request(config, ['lcp_exact'], macs=[0.01]))

    @pytest.mark.parametrize('name', ['scratch', 'uniform'])
    def test_controls_have_no_architecture(self, config, name):
        with pytest.raises(CompressionError, match=f'{name} has the architecture .* --ratios'):
            plan_comparison(Request(config, ['lcp_exact', name], macs=[0.97]))

    @pytest.mark.parametrize('share', [0.0, 1.0, 40])
    def test_out_of_range(self, config, share):
        with pytest.raises(CompressionError, match=f'--macs {share:g} is the share'):
            plan_comparison(Request(config, ['lcp_exact'], macs=[share]))


class Finished:
    """A process that has ended, after writing what a run writes."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status

    def terminate(self) -> None:
        pass

    kill = terminate


def pretend(started: list, failing: str = 'never'):
    """A way of starting that trains nothing."""

    def start(command, log, env):
        started.append((log.parent.name, env))
        folder = Path(command[command.index('--work-dir') + 1])
        folder.mkdir(exist_ok=True)
        if failing in str(folder):
            log.write_text(''.join(f'line {i}\n' for i in range(50)))
            return Finished(1)
        if 'scratch' in str(folder):
            result = dict(metrics={'pascal_voc/AP50': 0.7}, params=10, macs=20, seconds=3.0)
            write_json(folder / 'control.json', result)
        else:
            write_json(folder / 'report.json', made_reports.report().to_dict())
        return Finished()

    return start


class TestRun:
    def run(self, plan, out, start, **more):
        told = []
        ended_well = run_comparison(
            plan, out, Path('train.py'), start=start, tell=told.append, **more
        )
        return ended_well, told

    @pytest.fixture(autouse=True)
    def drawn(self, monkeypatch):
        """Pictures take seconds and have tests of their own."""
        calls = []
        name = 'mmdet_lcp.runner.comparison.run.draw_comparison'
        monkeypatch.setattr(name, lambda *args: calls.append(args))
        return calls

    def test_everything_once(self, plan, tmp_path, drawn):
        started = []
        ended_well, told = self.run(plan, tmp_path, pretend(started))
        assert ended_well
        names = [cell.name for cell in plan.cells if not cell.same_as]
        assert [name for name, _ in started] == names
        assert sum(line.startswith('[') for line in told) == 8
        assert told[1].startswith('[1/8, about ')
        assert 'lcp 0.5 seed 3: mAP 0.824' in told[1] and told[-1].startswith('[8/8] ')
        assert len(drawn) == 1

        started.clear()
        ended_well, told = self.run(plan, tmp_path, pretend(started))
        assert ended_well and not started
        assert '8 of 8 runs have ended before' in told

    def test_a_failure_stops_no_other(self, plan, tmp_path):
        started = []
        ended_well, told = self.run(plan, tmp_path, pretend(started, 'lcp+exact_r0.5_s3'))
        assert not ended_well and len(started) == 8
        assert told[-1].splitlines()[-2:] == ['line 49', '(exit status 1)']
        table = (tmp_path / 'table.md').read_text()
        assert '7 of 8 runs have ended, 1 failed.' in table
        started.clear()
        assert self.run(plan, tmp_path, pretend(started))[0]
        assert [name for name, _ in started] == ['lcp+exact_r0.5_s3']
        assert 'failed' not in (tmp_path / 'table.md').read_text()

    def test_threads_are_shared_out(self, plan, tmp_path, monkeypatch):
        monkeypatch.setattr('mmdet_lcp.runner.comparison.run._cores', lambda: 8)
        started = []
        run_comparison(
            plan, tmp_path, Path('t.py'), 3, start=pretend(started), tell=lambda _: None
        )
        assert {env['OMP_NUM_THREADS'] for _, env in started} == {'2'}

    def test_another_method_joins(self, plan, config, tmp_path):
        self.run(plan, tmp_path, pretend([]))
        started = []
        more = plan_comparison(Request(config, ['lcp+none'], [0.5], finetune_iters=2))
        self.run(more, tmp_path, pretend(started))
        assert [name for name, _ in started] == ['lcp+none_r0.5_s0']
        rows = (tmp_path / 'table.csv').read_text().splitlines()
        assert len(rows) == 1 + 11 and rows[-1].startswith('lcp+none')

    def test_another_budget_is_refused(self, plan, config, tmp_path):
        self.run(plan, tmp_path, pretend([]))
        other = plan_comparison(Request(config, ['lcp'], [0.5], finetune_iters=3))
        with pytest.raises(CompressionError, match='another `--finetune-iters`'):
            self.run(other, tmp_path, pretend([]))

    def test_another_config_of_a_cell_is_refused(self, plan, tmp_path):
        self.run(plan, tmp_path, pretend([]))
        path = tmp_path / 'cells' / 'lcp_r0.5_s3' / 'cell.json'
        data = json.loads(path.read_text())
        data['fingerprint']['pruning'] = 'x'
        write_json(path, data)
        with pytest.raises(CompressionError, match=r'lcp_r0\.5_s3 holds a run with another `pru'):
            self.run(plan, tmp_path, pretend([]))

    def test_one_at_a_time_in_a_folder(self, plan, tmp_path):
        with locked(tmp_path), pytest.raises(CompressionError, match='another comparison'):
            self.run(plan, tmp_path, pretend([]))

    def test_time_left(self, plan):
        pace = CellPace(jobs=2)
        assert pace.seconds_left(plan.cells) is None
        lcp, exact, scratch = (
            cell_of(plan, f'{n}_r0.5_s1') for n in ('lcp', 'lcp_exact', 'scratch')
        )
        pace.note(lcp, 28.0)
        assert pace.seconds_left([lcp, exact]) == pytest.approx((28 + 28) / 2)
        assert pace.seconds_left([scratch]) == pytest.approx(66)  # one job: nothing to share
        pace.note(scratch, 10.0)
        assert pace.seconds_left([scratch, scratch]) == pytest.approx(10)


class TestJobs:
    def job(self, tmp_path, name: str, code: str) -> Job:
        return Job(name, [sys.executable, '-S', '-c', code], tmp_path / f'{name}.txt', {'A': 'b'})

    def test_prints_status_and_environment(self, tmp_path):
        ended = {}
        jobs = [
            self.job(tmp_path, 'good', "import os; print(os.environ['A'])"),
            self.job(tmp_path, 'bad', 'raise SystemExit(3)'),
        ]
        run_jobs(jobs, 2, start_process, lambda j, status, s: ended.update({j.name: status}))
        assert ended == {'good': 0, 'bad': 3}
        assert (tmp_path / 'good.txt').read_text() == 'b\n'

    def test_so_many_at_a_time(self, tmp_path):
        running, most = [], []

        class Counting:
            def __init__(self, *_):
                running.append(self)
                most.append(len(running))
                self.polls = 0

            def poll(self):
                self.polls += 1
                return 0 if self.polls > 2 else None

        jobs = [self.job(tmp_path, str(i), '') for i in range(5)]
        run_jobs(jobs, 2, Counting, lambda *_: running.pop(), pause=0)
        assert len(most) == 5 and max(most) == 2

    def test_an_interrupt_ends_the_children(self, tmp_path):
        children = []

        def start(*args):
            children.append(start_process(*args))
            return children[-1]

        def interrupt(*_):
            raise KeyboardInterrupt

        jobs = [
            self.job(tmp_path, 'long', 'import time; time.sleep(60)'),
            self.job(tmp_path, 'short', ''),
        ]
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run_jobs(jobs, 2, start, interrupt)
        assert time.monotonic() - began < 30
        assert all(isinstance(child, subprocess.Popen) for child in children)
        assert [child.poll() for child in children] == [-15, 0]
