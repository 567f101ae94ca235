"""tools/compare.py on tiny data: what is run and written, and how it fails."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from comparisons import Forked, load_tool, not_started, table_rows

from mmdet_lcp.measure.image_matches import ImageMatches, file_of
from mmdet_lcp.measure.resampled_ap import ResampledAP

GROUND = r"""
pruning.update(
    layers=r'stage4\.1\.conv',
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.001, param_scheduler=None),
    evaluate=('pruned',),
)
train_cfg = dict(max_epochs=1)
param_scheduler = None
"""
MAP = 'coco/bbox_mAP'

compare = load_tool('compare')


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('compare')
    return tiny.make_config(folder, tiny.make_data(folder / 'digits'), 'ground', GROUND)


@pytest.fixture(scope='module')
def options(config) -> list[str]:
    """Two methods (one a control), one ratio, two seeds; two at a time."""
    out = config.with_name('out')
    words = f'{config} --criteria lcp_exact scratch --ratios 0.5 --seeds 0 1 --jobs 2 --out {out}'
    return words.split()


@pytest.fixture(scope='module')
def out(config, options) -> Path:
    """The folder after all runs."""
    assert compare.main(options, Forked) == 0
    return config.with_name('out')


@pytest.fixture
def fails(capsys):
    """Run, and return the message that is all it should print as an error."""

    def run(*args) -> str:
        assert compare.main([str(arg) for arg in args], not_started) == 1
        printed = capsys.readouterr()
        assert printed.err.startswith('error: ') and 'Traceback' not in printed.err
        return printed.err

    return run


def test_a_table_of_all_runs(out):
    table = table_rows(out)
    names = [(row['method'], row['seed'], row['state']) for row in table]
    assert names == [
        ('lcp_exact', '0', 'finished'),
        ('lcp_exact', '1', 'finished'),
        ('scratch', '0', 'finished'),
        ('scratch', '1', 'finished'),
    ]
    pruned, control = table[0], table[2]
    for key in ('params', 'macs', 'params_ratio', 'macs_ratio'):
        assert pruned[key] == control[key] != ''
    assert float(pruned['macs_ratio']) < 1
    for moment in ('dense', 'selected', 'final'):
        assert 0 <= float(pruned[f'{moment} {MAP}']) <= 1
        assert (control[f'{moment} {MAP}'] == '') == (moment != 'final')
    assert all(float(row['seconds']) > 0 for row in table)
    assert '4 of 4 runs have ended.' in (out / 'table.md').read_text()
    assert (out / 'map_vs_macs.png').is_file()
    # each run keeps its detections, and the tables have intervals of their metrics
    moments = dict(lcp_exact={'dense', 'selected', 'final'}, scratch={'final'})
    for row in table:
        folder = out / 'cells' / f'{row["method"]}_r0.5_s{row["seed"]}' / 'run'
        for moment in moments[row['method']]:
            kept = ImageMatches.load(file_of(folder, moment))
            figure = ResampledAP(kept).metrics(np.ones(4))[0]
            told = float(row[f'{moment} {MAP}'])
            assert np.isnan(figure) if told == -1 else abs(figure - told) <= 5e-4 + 1e-9
        assert (row['selected_low mAP'] == '') == (row['method'] == 'scratch')
        assert float(row['final_low mAP']) <= float(row['final_high mAP'])
    text = (out / 'table.md').read_text()
    assert '| against lcp_exact ' in text and 'mAP before retraining 95 %' in text


def test_runs_that_have_ended_are_not_run_again(out, options, capsys):
    before = (out / 'table.csv').read_text()
    assert compare.main(options, not_started) == 0
    assert '4 of 4 runs have ended before' in capsys.readouterr().out
    assert (out / 'table.csv').read_text() == before


def test_dry_run(out, options, capsys):
    options = [*options, '--dry-run', '--seeds', '0', '2']
    assert compare.main(options, not_started) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [' '.join(line.split()) for line in lines if not line.startswith('what the config')]
    assert cells == [
        'lcp_exact_r0.5_s0 3 iterations (3) exists',
        'scratch_r0.5_s0 6 iterations (1 + 1 epochs) exists',
        'lcp_exact_r0.5_s2 3 iterations (3) to be run',
        'scratch_r0.5_s2 6 iterations (1 + 1 epochs) to be run',
    ]


def test_a_share_of_the_macs(config, tmp_path):
    """Two methods, each with channels of its own choice at one cost, and the dense detector."""
    methods = 'lcp_exact l2_norm+exact dense_retrained'
    words = f'{config} --criteria {methods} --macs 0.985 --out {tmp_path / "out"}'
    options = ['--cfg-options', r'pruning.layers=stage4\.[01]\.conv', '--jobs', '2']
    assert compare.main([*words.split(), *options], Forked) == 0
    rows = table_rows(tmp_path / 'out')
    assert [(row['ratio'], row['state']) for row in rows] == 3 * [('macs0.985', 'finished')]
    assert all(0.97 < float(row['macs_ratio']) <= 0.985 for row in rows[:2])
    assert rows[2]['method'] == 'dense_retrained' and float(rows[2]['macs_ratio']) == 1
    text = (tmp_path / 'out' / 'table.md').read_text()
    assert '## 0.985 of the multiply-accumulates, shared out by each method' in text


def test_a_run_that_fails(config, tmp_path, capsys):
    """Its own message is told at the end; one run only, since the others go the same way."""
    dense = tmp_path / 'dense.pth'
    dense.write_bytes(b'no checkpoint')
    words = f'{config} --criteria lcp_exact --checkpoint {dense} --out {tmp_path / "out"}'
    assert compare.main(words.split(), Forked) == 1
    printed = capsys.readouterr()
    assert 'lcp_exact_r0.5_s0 failed' in printed.out
    assert 'is cut short or no torch checkpoint' in printed.out
    assert table_rows(tmp_path / 'out')[0]['state'] == 'failed'


def test_list(capsys):
    assert compare.main(['--list'], not_started) == 0
    lines = capsys.readouterr().out.splitlines()
    words = ['lcp', 'Localization-aware', 'Channel', 'Pruning.']
    assert words in [line.split() for line in lines]
    assert {'scratch', 'uniform'} <= {line.split()[0] for line in lines if line}


class TestErrors:
    def test_unknown_method(self, fails, config):
        message = fails(config, '--criteria', 'lcpp')
        assert "the nearest is 'lcp'" in message and 'scratch, uniform' in message

    def test_ratio(self, fails, config):
        assert '--ratios 1.5' in fails(config, '--criteria', 'lcp', '--ratios', '1.5')

    def test_no_checkpoint(self, fails, config):
        message = fails(config, '--criteria', 'lcp', '--cfg-options', 'load_from=None')
        assert '--checkpoint' in message

    def test_nothing_left_for_the_retraining(self, fails, config):
        message = fails(config, '--criteria', 'lcp')
        assert '1 groups x 8 iterations' in message and '3 iterations' in message

    def test_another_config(self, fails, out, options):
        message = fails(*options, '--cfg-options', 'pruning.retrain.lr=0.5')
        assert str(out) in message and 'pruning.retrain.lr: 0.001 then, 0.5 now' in message

    def test_against_what_is_not_there(self, fails, options):
        message = fails(*options, '--against', 'scrach')
        assert '--against scrach' in message and "'scratch'" in message

    def test_nothing_asked_for(self, capsys):
        with pytest.raises(SystemExit):
            compare.main([], not_started)
        assert 'CONFIG and --criteria are needed' in capsys.readouterr().err
