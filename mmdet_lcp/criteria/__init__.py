"""Criteria score the channels of a group, or pick them; one paper a file."""

from .backward_elimination import BackwardElimination
from .base import Criterion, Selection, largest
from .bn_scale import BNScale
from .dcp import DCP
from .filter_norm import L1Norm, L2Norm
from .fpgm import FPGM
from .group_fisher import GroupFisher
from .lcp import LCP
from .problem import Objective, SelectionProblem
from .random_channels import RandomChannels
from .ranking import RankingCriterion, sum_by_channel
from .selection_batch import SelectionBatch
from .taylor import Taylor
from .thinet import ThiNet

__all__ = [
    'DCP',
    'FPGM',
    'LCP',
    'BNScale',
    'BackwardElimination',
    'Criterion',
    'GroupFisher',
    'L1Norm',
    'L2Norm',
    'Objective',
    'RandomChannels',
    'RankingCriterion',
    'Selection',
    'SelectionBatch',
    'SelectionProblem',
    'Taylor',
    'ThiNet',
    'largest',
    'sum_by_channel',
]
