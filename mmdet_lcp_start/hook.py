"""Lets mmengine find the package without an import of it in the user's code.

``mmdet_lcp.pth``, installed with the package, calls :func:`install` when Python starts; that costs
a fraction of a millisecond and imports nothing. What it leaves waits for two modules of mmengine:

- ``mmengine.config.config``: ``_base_ = 'mmdet_lcp::...'`` imports ``mmdet_lcp``, which makes
  mmengine know its configs. Without it mmengine says that it does not support them.
- ``mmengine.runner.checkpoint``: where torch has refused to read a checkpoint for what it holds
  beside tensors, ``mmdet_lcp`` is imported, which names the classes that mmengine writes into
  checkpoints (`mmdet_lcp.compat.checkpoint_reading`), and the checkpoint read again, with
  torch's check still on.

Nothing changes for processes that do neither. ``MMDET_LCP_HOOK=0`` leaves it out.
"""

import os
import sys

_PACKAGE = 'mmdet_lcp'
_SWITCH = 'MMDET_LCP_HOOK'


def install() -> None:
    """Wait for mmengine. Idempotent."""
    waiting = any(type(finder) is _Finder for finder in sys.meta_path)
    if os.environ.get(_SWITCH) != '0' and not waiting:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds what the other finders find, and lets two modules be changed once they have run."""

    def __init__(self) -> None:
        self.changes = {
            'mmengine.config.config': _import_package_for_its_configs,
            'mmengine.runner.checkpoint': _import_package_for_checkpoints,
        }

    def find_spec(self, fullname, path, target=None):
        """The spec of a module that is waited for; ``None`` for any other."""
        if fullname not in self.changes:
            return None
        change = self.changes.pop(fullname)  # so that it is looked for once: the others find it
        if not self.changes:
            sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(fullname)
        if spec is not None and hasattr(spec.loader, 'exec_module'):
            _change_after(spec.loader, change)
        return spec


def _change_after(loader, change) -> None:
    """Let a module be changed when its loader has run it; this one module's loader alone."""
    run = loader.exec_module

    def exec_module(module):
        run(module)
        change(module)

    loader.exec_module = exec_module


def _import_package_for_its_configs(module) -> None:
    """Change ``mmengine.config.config``."""
    config = module.Config
    find = config._get_cfg_path

    def find_of_package(cfg_path, filename):
        if cfg_path.startswith(f'{_PACKAGE}::') and _PACKAGE not in sys.modules:
            __import__(_PACKAGE)
            return config._get_cfg_path(cfg_path, filename)
        return find(cfg_path, filename)

    config._get_cfg_path = staticmethod(find_of_package)


def _import_package_for_checkpoints(module) -> None:
    """Change ``mmengine.runner.checkpoint``."""
    from pickle import UnpicklingError

    loader = module.CheckpointLoader
    load = loader.load_checkpoint  # bound to the class

    def load_again(filename, *args, **kwargs):
        try:
            return load(filename, *args, **kwargs)
        except UnpicklingError as refused:
            # What is fetched, all ranks read together: one alone must not do it twice.
            if _PACKAGE in sys.modules or '://' in filename:
                raise
            try:
                __import__(_PACKAGE)
            except ImportError:
                raise refused from None
        return load(filename, *args, **kwargs)

    loader.load_checkpoint = staticmethod(load_again)
