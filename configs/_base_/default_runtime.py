# mmdet's own, and boxes without area are kept from the loss.
_base_ = 'mmdet::_base_/default_runtime.py'

custom_hooks = [dict(type='mmdet_lcp.DropDegenerateBoxesHook')]
