"""Which detectors can be pruned, and how: tried out step by step, written down as a table."""

from .detectors import DETECTORS, SupportedDetector
from .page import support_page
from .trial import Trial, TrialFacts

__all__ = ['DETECTORS', 'SupportedDetector', 'Trial', 'TrialFacts', 'support_page']
