"""A detector as a training step runs it, that nevertheless stays as it is."""

from mmdet_lcp.training_mode.held import in_training

__all__ = ['in_training']
