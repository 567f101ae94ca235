"""Detectors as ONNX files: in full precision, and with eight-bit integers."""

from mmdet_lcp.export.calibration import calibration_images, file_images
from mmdet_lcp.export.detector_file import export_detector
from mmdet_lcp.export.int8 import quantize_int8
from mmdet_lcp.export.int8_choice import choose_int8
from mmdet_lcp.export.onnx_detector import onnx_detector, open_session, session_latency_ms
from mmdet_lcp.export.onnx_file import export_onnx

__all__ = [
    'calibration_images',
    'choose_int8',
    'export_detector',
    'export_onnx',
    'file_images',
    'onnx_detector',
    'open_session',
    'quantize_int8',
    'session_latency_ms',
]
