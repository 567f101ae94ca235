"""Layer kits: small files of single layers that a device runs to tell what they take there.

A kit is a folder with one file a layer, a manifest, and `measure.py`, which needs NumPy and the
engine alone (`mmdet_lcp.measure.on_device`). It may be made in one environment and measured in
another, or on another device.
"""

from mmdet_lcp.export.layer_kit.networks import Bench, bench_of, bracket_of
from mmdet_lcp.export.layer_kit.run import check_measurable, layer_ms, read_times, run_kit
from mmdet_lcp.export.layer_kit.write import Entry, KitWriter

__all__ = [
    'Bench',
    'Entry',
    'KitWriter',
    'bench_of',
    'bracket_of',
    'check_measurable',
    'layer_ms',
    'read_times',
    'run_kit',
]
