"""mmengine's private names: each is used here alone, and `require_private_names` looks for all.

mmengine promises nothing of them. Another release, or a fork, that has renamed one says so when
the package is imported, instead of hours later.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.hooks import EMAHook, Hook
    from mmengine.runner import Runner

# What `Runner.__init__` sets, and what classes have.
_SET = (
    '_has_loaded',
    '_hooks',
    '_launcher',
    '_load_from',
    '_resume',
    '_test_loop',
    '_train_dataloader',
    '_train_loop',
    '_val_loop',
)
_HAD = {
    'mmengine.runner.Runner': ('_maybe_compile',),
    'mmengine.hooks.EMAHook': ('_swap_ema_parameters',),
    'mmengine.config.Config': ('_get_base_files', '_get_cfg_path', '_to_lazy_dict'),
    'mmengine.dataset.BaseDataset': ('_serialize_data',),
}


def require_private_names() -> None:
    """Look for every private name that is used.

    Raises:
        ImportError: the installed mmengine lacks some; names them and the release that has them.
    """
    missing = [
        f'{path}.{name}'
        for path, names in _HAD.items()
        for name in names
        if not hasattr(_class(path), name)
    ]
    known = _class('mmengine.runner.Runner').__init__.__code__.co_names
    missing += [f'mmengine.runner.Runner().{name}' for name in _SET if name not in known]
    if missing:
        version = importlib.import_module('mmengine').__version__
        raise ImportError(
            f'mmdet_lcp uses {", ".join(missing)}, which the installed mmengine {version} lacks. '
            'It was run with mmengine 0.10.7 and with onedl-mmengine 0.10.12: install one of them'
        )


def _class(path: str) -> type:
    module, name = path.rsplit('.', 1)
    return getattr(importlib.import_module(module), name)


def launcher_of(runner: Runner) -> str:
    """What started the processes of a runner: ``'none'``, ``'pytorch'``, ``'slurm'`` or others."""
    return runner._launcher


def starting_weights(runner: Runner) -> str | None:
    """The checkpoint that a runner begins with, as it was given."""
    return runner._load_from


def begins_anew(runner: Runner) -> bool:
    """Whether a runner has neither loaded its weights yet nor goes on with a run."""
    return not runner._has_loaded and not runner._resume


def given_train_loader(runner: Runner) -> Any:
    """A runner's ``train_dataloader`` as the config has it, or what was built of it."""
    return runner._train_dataloader


def set_train_loop(runner: Runner, loop: Any) -> None:
    """Give a runner its training loop, in the place of the one that ``train_cfg`` names."""
    runner._train_loop = loop


def validates(runner: Runner) -> bool:
    """Whether a runner has validation data."""
    return runner._val_loop is not None


def tests(runner: Runner) -> bool:
    """Whether a runner has test data."""
    return runner._test_loop is not None


def compile_step(runner: Runner, name: str) -> None:
    """Compile a step of a runner's model if the config's ``compile`` asks for it."""
    runner._maybe_compile(name)


@contextmanager
def hooks_left_out(runner: Runner, kinds: Sequence[type[Hook]]) -> Iterator[None]:
    """Take hooks of some classes off a runner for a while."""
    hooks = runner._hooks
    runner._hooks = [hook for hook in hooks if not isinstance(hook, tuple(kinds))]
    try:
        yield
    finally:
        runner._hooks = hooks


def take_average(hook: EMAHook) -> None:
    """Exchange a model's weights for their average, and the average for them."""
    hook._swap_ema_parameters()


def config_path(path: str) -> str:
    """The file of a config that is named ``package::folder/file.py``.

    Raises:
        Exception: of many kinds, where there is none.
    """
    from mmengine.config import Config

    return Config._get_cfg_path(path, '')[0]


def base_files(file: str) -> list[str]:
    """The configs that one inherits from, as its ``_base_`` names them."""
    from mmengine.config import Config

    return Config._get_base_files(file)


def lazy_data(cfg: Config) -> dict:
    """A config's keys, with classes and functions in it as they were imported."""
    return cfg._to_lazy_dict()
