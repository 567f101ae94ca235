# SSD300 on VGG-16 as Liu et al. published it (https://arxiv.org/abs/1512.02325): mmdet's own.
_base_ = 'mmdet::_base_/models/ssd300.py'
