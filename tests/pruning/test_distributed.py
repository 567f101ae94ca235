import json
import os
import re
import subprocess
import sys

import pytest
from ranks import TELL, TELL_PLAN, free_port
from runs import ROOT, SHORT, TRAIN


@pytest.fixture(scope='module')
def folder(write_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    (folder / 'tell_plan.py').write_text(TELL_PLAN)
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2']
    command += ['--master-port', str(free_port()), str(TRAIN)]
    config = write_config('ranks', SHORT)
    config.write_text(config.read_text() + TELL)
    command += [str(config), '--launcher', 'pytorch']
    command += ['--work-dir', str(folder / 'out')]
    path = os.pathsep.join([str(folder), str(ROOT)])
    ended = subprocess.run(
        command,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-5000:]
    (folder / 'printed.txt').write_text(ended.stdout + ended.stderr)
    return folder


def test_one_rank_writes(folder):
    assert len(list((folder / 'out').glob('2*'))) == 1
    report = json.loads((folder / 'out' / 'report.json').read_text())
    assert [group['kept'] for group in report['groups']] == [32]
    assert len(re.findall(r'Config, weights, report', (folder / 'printed.txt').read_text())) == 1


def test_ranks_agree(folder):
    ranks = [json.loads((folder / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    plan = json.loads((folder / 'out' / 'plan.json').read_text())
    assert ranks[0][0] == ranks[1][0] == plan
    assert ranks[0][2] == ranks[1][2] == 1
    for key, value in ranks[0][1].items():
        assert value == ranks[1][1][key], key
