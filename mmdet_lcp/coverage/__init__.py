"""Which detectors can be pruned, and how: tried out step by step, written down as a table."""

from mmdet_lcp.coverage.detectors import DETECTORS, SupportedDetector
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.page import support_page
from mmdet_lcp.coverage.trial import Trial

__all__ = ['DETECTORS', 'SupportedDetector', 'Trial', 'TrialFacts', 'support_page']
