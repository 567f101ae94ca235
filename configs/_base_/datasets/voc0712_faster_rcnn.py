# Pascal VOC 07+12 (16551 trainval images, three times an epoch) at 1000x600, tested on VOC07.
_base_ = 'mmdet::_base_/datasets/voc0712.py'

num_classes = 20
