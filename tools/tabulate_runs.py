#!/usr/bin/env python
"""`mmdet-lcp tabulate-runs`, which is `mmdet_lcp.cli.tabulate_runs`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('tabulate-runs'))
