"""Where the configs and tools lie that come with the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """A folder that comes with the package, wherever that is installed.

    An installation has it in ``.mim``, where mmengine and mim look for it; a checkout whose
    ``mmdet_lcp`` is on ``PYTHONPATH``, without having been installed, beside the package.

    Args:
        name: ``'configs'`` or ``'tools'``.
    """
    installed = _PACKAGE / '.mim' / name
    return installed if installed.exists() else _PACKAGE.parent / name
