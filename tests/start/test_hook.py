"""With the start-up file mmdet's own tools and code need no import of the package.

Each case is a Python of its own that does what ``mmdet_lcp.pth`` does when Python starts.
"""

import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

ROOT = Path(__file__).parents[2]
# It reads what torch refuses a second time, without torch's check: nothing is refused that the
# start-up file could answer. With mmdet_lcp imported the check stays on (tests/compat).
not_on_the_forks = pytest.mark.skipif(
    any(one.metadata['Name'] == 'onedl-mmengine' for one in metadata.distributions()),
    reason='onedl-mmengine never lets torch refuse a checkpoint',
)
START = next(
    line.split("'")[1].removesuffix('\\n')
    for line in (ROOT / 'setup.py').read_text().splitlines()
    if line.startswith('START_LINE')
)


def started(code: str, **env: str) -> subprocess.CompletedProcess:
    """Run code in a Python that has begun with the start-up file's line."""
    return subprocess.run(
        [sys.executable, '-c', f'{START}\n{textwrap.dedent(code)}'],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def config(tmp_path) -> Path:
    """What a user writes: a dense detector of the package, with a change."""
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmdet_lcp::ssd/ssd_narrow_vgg_digits.py'\nanswer = 42\n")
    return path


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Beside tensors it holds the class that mmengine's training log is of."""
    path = tmp_path / 'epoch_1.pth'
    log = HistoryBuffer([1.0], [1])
    torch.save({'state_dict': {'w': torch.ones(2)}, 'message_hub': {'loss': log}}, path)
    return path


def test_starting_imports_nothing_that_is_not_there_anyway():
    done = started("""
        import sys
        new = set(sys.modules) - {'__main__', 'mmdet_lcp_start', 'mmdet_lcp_start.hook'}
        print(sorted(new & {'importlib.util', 'torch', 'mmengine', 'mmdet_lcp', 'typing'}))
        """)
    known = subprocess.run(
        [
            *(sys.executable, '-c'),
            "import sys; print(sorted({'importlib.util', 'typing'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout == known.stdout, done.stderr


def test_a_config_of_the_package_is_found(config):
    """And the package is imported only for it, the types that the config names included."""
    done = started(f"""
        import sys
        from mmengine.config import Config
        Config.fromstring('answer = 6', '.py')
        assert 'mmdet_lcp' not in sys.modules
        cfg = Config.fromfile({str(config)!r})
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        register_all_modules()
        print(type(MODELS.build(cfg.model).bbox_head).__name__, cfg.answer)
        """)
    assert done.stdout.strip().endswith('SSDHead 42'), done.stderr[-2000:]


def test_without_it_mmengine_does_not_know_them(config):
    """The other side of the case above: what the switch brings back."""
    code = f'from mmengine.config import Config\nConfig.fromfile({str(config)!r})'
    assert 'does not support to load mmdet_lcp config' in started(code, MMDET_LCP_HOOK='0').stderr


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6),
    reason='torch.load checks pickles since torch 2.6',
)
@not_on_the_forks
def test_a_checkpoint_of_mmengine_is_read_with_the_check_on(checkpoint):
    code = f"""
        import sys
        from mmengine.runner import checkpoint
        found = checkpoint._load_checkpoint({str(checkpoint)!r}, 'cpu')
        print(found['message_hub']['loss'].current(), 'mmdet_lcp' in sys.modules)
        """
    assert started(code).stdout.endswith('1.0 True\n')  # it was refused first


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6),
    reason='torch.load checks pickles since torch 2.6',
)
@not_on_the_forks
def test_other_checkpoints_are_none_of_its_business(tmp_path):
    """A plain one imports nothing; one that would run code is refused as ever."""
    torch.save({'state_dict': {'w': torch.ones(2)}}, tmp_path / 'plain.pth')
    done = started(f"""
        import os, sys, torch
        from mmengine.runner.checkpoint import CheckpointLoader
        CheckpointLoader.load_checkpoint({str(tmp_path / 'plain.pth')!r}, 'cpu')
        assert 'mmdet_lcp' not in sys.modules
        class Evil:
            def __reduce__(self):
                return os.mkdir, ({str(tmp_path / 'was_here')!r},)
        torch.save(Evil(), {str(tmp_path / 'evil.pth')!r})
        CheckpointLoader.load_checkpoint({str(tmp_path / 'evil.pth')!r}, 'cpu')
        """)
    assert 'UnpicklingError: Weights only load failed' in done.stderr
    assert not (tmp_path / 'was_here').exists()


@not_on_the_forks
def test_a_package_that_cannot_be_imported_leaves_the_error_as_it_was(checkpoint, tmp_path):
    """Its requirements may be missing where mmengine is used for something else."""
    broken = tmp_path / 'path' / 'mmdet_lcp'
    broken.mkdir(parents=True)
    (broken / '__init__.py').write_text('raise ImportError("mmdet is missing")')
    code = f"""
        import sys
        sys.path.insert(0, {str(broken.parent)!r})
        from mmengine.runner import load_checkpoint, checkpoint
        checkpoint._load_checkpoint({str(checkpoint)!r}, 'cpu')
        """
    message = started(code).stderr
    assert 'Weights only load failed' in message and 'mmdet is missing' not in message
