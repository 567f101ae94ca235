#!/usr/bin/env python
"""`mmdet-lcp latency-kit`, which is `mmdet_lcp.cli.latency_kit`."""

import sys

from mmdet_lcp_start.commands import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('latency-kit'))
