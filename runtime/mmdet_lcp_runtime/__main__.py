"""``python -m mmdet_lcp_runtime``: the command, where it is not on the path."""

from mmdet_lcp_runtime.command import run

run()
