#!/usr/bin/env python
"""Export a detector to ONNX, from pixels to boxes: see `mmdet_lcp.export.command`."""

import sys

from mmdet_lcp.export.command import main

if __name__ == '__main__':
    sys.exit(main())
