"""``python -m mmdet_lcp``, as torchrun starts it."""

import subprocess
import sys


def mmdet_lcp(*words):
    command = [sys.executable, '-m', 'mmdet_lcp', *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_is_the_command():
    done = mmdet_lcp('--help')
    assert done.returncode == 0 and 'prune' in done.stdout and 'compare' in done.stdout


def test_an_unknown_word_names_the_nearest():
    done = mmdet_lcp('compar')
    assert done.returncode != 0 and 'compare' in done.stderr + done.stdout
