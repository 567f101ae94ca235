from mmdet_lcp.report.figures import new_figure
from mmdet_lcp.report.network_parts import parts_of, write_parts

NAMES = [
    'backbone.conv1',
    'backbone.layer1.0.conv1',
    'backbone.layer1.0.conv2',
    'backbone.layer2.0.conv1',
    'neck.fpn_convs.0.conv',
    'bbox_head.cls_convs.0.conv',
    'bbox_head.retina_cls',
]


def test_parts():
    """Stages of the backbone that have several layers; everything else by its first name."""
    stage = 'backbone.layer1'
    assert parts_of(NAMES) == [
        'backbone',
        stage,
        stage,
        'backbone',
        'neck',
        'bbox_head',
        'bbox_head',
    ]


def test_they_stand_below_their_middle_with_lines_between():
    upper, lower = new_figure(6, 4).subplots(2, 1)
    write_parts([upper, lower], NAMES)
    assert list(lower.get_xticks()) == [0, 1.5, 3, 4, 5.5]
    words = [label.get_text() for label in lower.get_xticklabels()]
    assert words == ['backbone', 'layer1', 'backbone', 'neck', 'bbox_head']
    assert [line.get_xdata()[0] for line in upper.lines] == [0.5, 2.5, 3.5, 4.5]
