"""Which level a region belongs to."""

import detectors
import torch

from mmdet_lcp.detectors.region_levels import level_rule, nearest_size


def squares(*sides: float) -> torch.Tensor:
    return torch.tensor([[0.0, 10.0, 20.0, 10.0 + side, 20.0 + side] for side in sides])


def test_nearest_on_a_logarithmic_scale():
    """Between 8 and 32 the middle is 16, their geometric mean, not 20."""
    levels = nearest_size(squares(1, 8, 15.9, 16.1, 19, 1000), torch.tensor([8.0, 32.0]))
    assert levels.tolist() == [0, 0, 0, 1, 1, 1]


def test_long_boxes_count_by_their_area():
    rois = torch.tensor([[0.0, 0.0, 0.0, 64.0, 1.0]])  # as large as a square of 8
    assert nearest_size(rois, torch.tensor([8.0, 32.0])).tolist() == [0]


def test_a_two_stage_detector_says_so_itself():
    detector = detectors.tiny_detector('faster_rcnn')
    count, rule = level_rule(detector)
    extractor = detector.roi_head.bbox_roi_extractor
    rois = squares(4, 60, 120, 250, 1000)
    assert count == len(extractor.featmap_strides) == 4
    assert torch.equal(rule(rois), extractor.map_roi_levels(rois, 4))


def test_a_one_stage_detectors_boxes_are_of_their_own_level():
    detector = detectors.tiny_detector('retinanet')
    count, rule = level_rule(detector)
    bases = detector.bbox_head.prior_generator.base_anchors
    assert count == len(bases)
    for level, boxes in enumerate(bases):
        middle = boxes[len(boxes) // 2]
        roi = torch.cat([middle.new_zeros(1), middle])[None]
        assert rule(roi).tolist() == [level]
