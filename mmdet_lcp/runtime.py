"""Exported detectors without mmdet: the same as the package `mmdet_lcp_runtime`.

That package imports neither PyTorch nor mmdet, and can be installed alone; where it is, import it
by its own name: this module needs all of mmdet_lcp.
"""

from mmdet_lcp_runtime import DetectionError, Detections, Detector

__all__ = ['DetectionError', 'Detections', 'Detector']
