#!/usr/bin/env python
"""`mmdet-lcp make-digits`, which is `mmdet_lcp.cli.make_digits`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('make-digits'))
