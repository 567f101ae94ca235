"""The figure of a sensitivity: a panel a measure, a line a ratio."""

import math

from mmdet_lcp.report.sensitivity import SENSITIVITY_PNG, Sensitivity, SensitivityCell
from mmdet_lcp.report.sensitivity_picture import draw_sensitivity


def test_picture(tmp_path):
    """Two groups at two ratios; the last cell is broken."""
    cells = [
        SensitivityCell('a', 0.5, 5, {'loss': 2.1, 'coco/bbox_mAP': 0.6}, 1.5),
        SensitivityCell('b', 0.5, 5, {'loss': 2.0, 'coco/bbox_mAP': 0.65}, 1.5),
        SensitivityCell('a', 0.8, 2, {'loss': 2.5, 'coco/bbox_mAP': 0.5}, 1.5),
        SensitivityCell('b', 0.8, 2, {'loss': math.nan, 'coco/bbox_mAP': 0.0}, 1.5),
    ]
    dense = {'loss': 2.0, 'coco/bbox_mAP': 0.63}
    found = Sensitivity({'a': 10, 'b': 10}, {'model': 'x'}, dense, cells)
    assert draw_sensitivity(found, tmp_path)
    data = (tmp_path / SENSITIVITY_PNG).read_bytes()
    assert data.startswith(b'\x89PNG') and len(data) > 5000
    assert not draw_sensitivity(Sensitivity({'a': 3}), tmp_path / 'none')
    assert not (tmp_path / 'none').exists()
