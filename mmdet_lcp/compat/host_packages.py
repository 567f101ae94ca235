"""mmdet, mmcv and mmengine: no requirement of the package, so whether they are there is looked up.

Two stacks have these import names, OpenMMLab's own and the maintained forks; a requirement of one
would be installed over the other.
"""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec

# Import name -> the oldest version that is used.
NEEDED = {'mmengine': (0, 10, 4), 'mmcv': (2, 0, 0), 'mmdet': (3, 2, 0)}
EXTRAS = (
    "pip install --no-build-isolation 'mmdet_lcp[openmmlab]' installs them, or "
    "'mmdet_lcp[onedl]' the maintained forks of them"
)


def require_host_packages() -> None:
    """Say in a line what is missing or too old, and which extra brings it.

    Raises:
        ImportError: a package is missing, or older than `NEEDED`, or is mmcv without operators.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f'mmdet_lcp needs {" and ".join(missing)}: {EXTRAS}', name=missing[0])
    for name, oldest in NEEDED.items():
        version = importlib.import_module(name).__version__
        if _numbers(version) < oldest:
            least = '.'.join(map(str, oldest))
            raise ImportError(
                f'mmdet_lcp needs {name} {least} or newer, {version} is installed: {EXTRAS}',
                name=name,
            )
    if find_spec('mmcv._ext') is None:
        raise ImportError(
            f'mmdet_lcp needs mmcv with its compiled operators, which this one lacks: {EXTRAS}',
            name='mmcv',
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The three numbers that a version begins with; what follows them is left out."""
    return tuple(int(number) for number in [*re.findall(r'\d+', version), '0', '0'][:3])
