"""Runs exported detectors: image in, boxes out, with NumPy and one inference engine.

Neither PyTorch nor mmdet is imported. The engine (ONNX Runtime, OpenVINO, ncnn, MNN, LiteRT,
RKNN) and what reads images (Pillow or OpenCV) are imported when they are first needed.
"""

from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.detector import Detector
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.version import __version__

__all__ = ['DetectionError', 'Detections', 'Detector', '__version__']
