"""Criteria score the channels of a group, or pick them; one paper a file."""

from mmdet_lcp.pruning.criteria.backward_elimination import BackwardElimination
from mmdet_lcp.pruning.criteria.base import Criterion, Selection, largest
from mmdet_lcp.pruning.criteria.bn_scale import BNScale
from mmdet_lcp.pruning.criteria.dcp import DCP
from mmdet_lcp.pruning.criteria.filter_norm import L1Norm, L2Norm
from mmdet_lcp.pruning.criteria.fpgm import FPGM
from mmdet_lcp.pruning.criteria.group_fisher import GroupFisher
from mmdet_lcp.pruning.criteria.lcp import LCP
from mmdet_lcp.pruning.criteria.random_channels import RandomChannels
from mmdet_lcp.pruning.criteria.ranking import RankingCriterion, sum_by_channel
from mmdet_lcp.pruning.criteria.taylor import Taylor
from mmdet_lcp.pruning.criteria.thinet import ThiNet

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
    'RandomChannels',
    'RankingCriterion',
    'Selection',
    'Taylor',
    'ThiNet',
    'largest',
    'sum_by_channel',
]
