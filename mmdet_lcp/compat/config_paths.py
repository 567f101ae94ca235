"""mmengine: configs by name, of this package and of folders such as mmdet's ``gn+ws``."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from mmdet_lcp.shipped import shipped

_PACKAGE = 'mmdet_lcp'


def config_package_name() -> None:
    """Let ``_base_ = 'mmdet_lcp::...'`` name a config of this package.

    mmengine resolves ``package::path`` only for the OpenMMLab packages of a fixed table
    (``mmengine does not support to load mmdet_lcp config``), and looks for an editable install
    in ``site-packages``, where it is not. No scope is given to what is inherited: the package's
    configs name its own types in full, and mmdet's types are found by mmdet's default scope.

    Of the OpenMMLab packages it takes folders of letters, digits and underscores alone, though
    mmdet ships ``gn+ws`` and ``legacy_1.x``: a file that lies there is found all the same.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    resolve = Config._get_cfg_path
    if hasattr(resolve, '_lcp_fix'):
        return

    @functools.wraps(resolve)
    def fixed_resolve(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, separator, path = cfg_path.partition('::')
        if package == _PACKAGE and separator:
            return str(shipped('configs') / path), None
        try:
            return resolve(cfg_path, filename)
        except ValueError:  # mmengine's pattern of a folder does not match
            file = _shipped_by(package, path) if package in MODULE2PACKAGE else None
            if file is None:
                raise
            return str(file), package

    fixed_resolve._lcp_fix = 'mmengine get_installed_path'
    Config._get_cfg_path = staticmethod(fixed_resolve)


def _shipped_by(package: str, path: str) -> Path | None:
    """A config file that an installed package brings along, where mim puts it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0], '.mim', 'configs', path)
    return file if file.is_file() else None
