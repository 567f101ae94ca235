#!/usr/bin/env python
"""`mmdet-lcp detect`, which is `mmdet_lcp_runtime.command`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('detect'))
