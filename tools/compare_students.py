#!/usr/bin/env python
"""`mmdet-lcp compare-students`, which is `mmdet_lcp.cli.compare_students`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('compare-students'))
