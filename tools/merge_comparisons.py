#!/usr/bin/env python
"""`mmdet-lcp merge-comparisons`, which is `mmdet_lcp.cli.merge_comparisons`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('merge-comparisons'))
