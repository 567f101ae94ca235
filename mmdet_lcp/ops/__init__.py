"""Operators that losses and attachments share."""

from .roi_align import roi_align

__all__ = ['roi_align']
