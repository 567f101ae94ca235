"""How PyTorch's threads wait: asked of OpenMP itself, which tells when it is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdet_lcp_start import threads

ROOT = Path(__file__).parents[2]


def policy(code: str) -> list[str]:
    """What OpenMP says of its settings while code runs: lines with the policy."""
    unset = {k: v for k, v in os.environ.items() if k not in threads.CHOICES}
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**unset, 'PYTHONPATH': str(ROOT), 'OMP_DISPLAY_ENV': 'true'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if 'WAIT_POLICY' in line]


def test_openmp_has_it():
    code = 'from mmdet_lcp_start.threads import *; let_waiting_threads_sleep(); import torch'
    found = policy(code)
    if not found:
        pytest.skip('this PyTorch runs on another OpenMP than GNU')
    assert all('PASSIVE' in line for line in found)


@pytest.mark.parametrize('name', ['OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'])
def test_what_the_user_has_set_stays(monkeypatch, name):
    for each in threads.CHOICES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, 'as set')
    monkeypatch.delitem(sys.modules, 'torch')
    before = dict(os.environ)
    threads.let_waiting_threads_sleep()
    assert dict(os.environ) == before


def test_every_command_sets_it_before_torch():
    code = (
        'import importlib, os, sys\n'
        'from mmdet_lcp_start import commands\n'
        'def stop(name):\n'
        '    print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)\n'
        '    raise SystemExit\n'
        'commands.importlib.import_module = stop\n'
        'commands.run_tool("train")\n'
    )
    unset = {k: v for k, v in os.environ.items() if k not in threads.CHOICES}
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**unset, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == 'passive False\n', done.stderr
