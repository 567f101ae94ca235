"""mmengine: configs of this package by name."""

from __future__ import annotations

import functools

from mmdet_lcp.shipped import shipped

_PACKAGE = 'mmdet_lcp'


def config_package_name() -> None:
    """Let ``_base_ = 'mmdet_lcp::...'`` name a config of this package.

    mmengine resolves ``package::path`` only for the OpenMMLab packages of a fixed table
    (``mmengine does not support to load mmdet_lcp config``), and looks for an editable install
    in ``site-packages``, where it is not. No scope is given to what is inherited: the package's
    configs name its own types in full, and mmdet's types are found by mmdet's default scope.
    """
    from mmengine.config import Config

    resolve = Config._get_cfg_path
    if hasattr(resolve, '_lcp_fix'):
        return

    @functools.wraps(resolve)
    def fixed_resolve(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, separator, path = cfg_path.partition('::')
        if not separator or package != _PACKAGE:
            return resolve(cfg_path, filename)
        return str(shipped('configs') / path), None

    fixed_resolve._lcp_fix = 'mmengine get_installed_path'
    Config._get_cfg_path = staticmethod(fixed_resolve)
