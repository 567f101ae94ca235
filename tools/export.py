#!/usr/bin/env python
"""`mmdet-lcp export`, which is `mmdet_lcp.cli.export`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('export'))
