#!/usr/bin/env python
"""`mmdet-lcp measure-steps`, which is `mmdet_lcp.cli.measure_steps`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('measure-steps'))
