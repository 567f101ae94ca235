"""CenterNet's detections, against mmdet's own."""

import torch

from mmdet_lcp.export.postprocess.centernet import CenterNetPostprocess

from .candidates import META, SIZE, build_head


def test_peaks_of_the_heat_map():
    head = build_head(
        'CenterNetHead', in_channels=8, feat_channels=8, num_classes=3,
        test_cfg=dict(topk=12, local_maximum_kernel=3, max_per_img=12),
    )  # fmt: skip
    heat = torch.rand(1, 3, 16, 16)
    outputs = [heat], [8 * torch.rand(1, 2, 16, 16)], [torch.rand(1, 2, 16, 16)]
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], rescale=False)
    assert CenterNetPostprocess.fits(head)
    found = CenterNetPostprocess(head, (SIZE, SIZE)).detections(outputs)
    assert len(expected) == 12 == found.scores.shape[1]
    torch.testing.assert_close(found.scores[0], expected.scores)
    torch.testing.assert_close(found.labels[0], expected.labels)
    torch.testing.assert_close(found.boxes[0], expected.bboxes, atol=1e-3, rtol=1e-4)
