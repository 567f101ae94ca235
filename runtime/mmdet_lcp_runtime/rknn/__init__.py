"""From an exported ONNX file to one for Rockchip's NPUs, on a PC.

Rockchip's toolkit wants older versions of PyTorch, onnx and NumPy than mmdet_lcp, and an
environment of its own: so this lies in the package that needs none of them.
"""
