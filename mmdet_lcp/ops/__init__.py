"""Operators that losses and attachments share."""

from mmdet_lcp.ops.roi_align import roi_align

__all__ = ['roi_align']
