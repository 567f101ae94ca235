#!/usr/bin/env python
"""`mmdet-lcp report`, which is `mmdet_lcp.cli.report`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('report'))
