"""``mmdet-lcp export``: the script in `tools/`, which comes with the package."""

import runpy
from collections.abc import Sequence

from mmdet_lcp.shipped import shipped


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    return runpy.run_path(str(shipped('tools') / 'export.py'))['main'](argv)
