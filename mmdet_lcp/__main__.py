"""``python -m mmdet_lcp``: the command ``mmdet-lcp``, for torchrun and where it is not on PATH."""

import sys

from mmdet_lcp_start.commands import main

if __name__ == '__main__':
    sys.exit(main())
