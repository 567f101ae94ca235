"""What a file is compared with is mmdet's own; nothing of the exporter's is in it."""

import detectors
import torch

from mmdet_lcp.export.graph import samples
from mmdet_lcp.export.scenes import scenes
from mmdet_lcp.export.thresholds import read_thresholds
from mmdet_lcp.export.verification import predicted

SIZE = 128


def test_masks_are_those_that_the_detector_makes_itself():
    """Of a head that predicts them in a way of its own: on features of zeros, the same for all."""
    detector = detectors.tiny_detector('mask_rcnn')
    head = detector.roi_head
    usual = type(head).predict_mask

    def predict_mask(self, x, *args, **keys):
        return usual(self, [torch.zeros_like(each) for each in x], *args, **keys)

    images = scenes(1, SIZE, SIZE, seed=7)
    limits = read_thresholds(head.test_cfg, 'roi_head')
    (before,) = predicted(detector, images, limits, True)
    head.__class__ = type('OwnMasks', (type(head),), {'predict_mask': predict_mask})
    (after,) = predicted(detector, images, limits, True)
    assert len(before) > 3 and (before.boxes == after.boxes).all()
    with torch.no_grad():
        features = detector.extract_feat(torch.zeros(1, 3, SIZE, SIZE))
        rois = torch.tensor([[0.0, 10, 10, 50, 50]])
        zeros = [torch.zeros_like(each) for each in features]
        (values,) = head._mask_forward(zeros, rois)['mask_preds'].sigmoid()
    expected = values[torch.from_numpy(after.labels)]
    torch.testing.assert_close(torch.from_numpy(after.masks), expected)
    assert abs(before.masks - after.masks).max() > 0.01


def test_masks_of_a_cascade_are_what_it_pastes_last():
    """The mean over its stages: pasted by mmdet, they are mmdet's masks."""
    detector = detectors.tiny_detector('htc')
    head = detector.roi_head.mask_head[-1]
    inputs = scenes(1, SIZE, SIZE, seed=7)
    limits = read_thresholds(detector.roi_head.test_cfg, 'roi_head')
    (found,) = predicted(detector, inputs, limits, True)
    assert len(found) > 3 and found.masks.min() >= 0 and found.masks.max() <= 1
    logits = torch.zeros(len(found), 3, *found.masks.shape[1:])
    labels = torch.from_numpy(found.labels)
    logits[torch.arange(len(found)), labels] = torch.from_numpy(found.masks)
    pasted = head._predict_by_feat_single(
        logits, torch.from_numpy(found.boxes), labels,
        dict(ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0)), detector.roi_head.test_cfg,
        rescale=True, activate_map=True,
    )  # fmt: skip
    data = {'inputs': [torch.from_numpy(inputs[0]).permute(2, 0, 1)], 'data_samples': None}
    images = detector.data_preprocessor(data, False)['inputs']
    with torch.no_grad():
        (sample,) = detector.predict(images, samples(1, (SIZE, SIZE)))
    assert torch.equal(pasted, sample.pred_instances.masks)


def test_the_detector_is_left_as_it_is():
    detector = detectors.tiny_detector('mask_rcnn')
    limits = read_thresholds(detector.roi_head.test_cfg, 'roi_head')
    predicted(detector, scenes(1, SIZE, SIZE), limits, True)
    assert 'predict_by_feat' not in vars(detector.roi_head.mask_head)
    inputs = torch.zeros(1, 3, SIZE, SIZE)
    assert 'masks' in detector.predict(inputs, samples(1, (SIZE, SIZE)))[0].pred_instances


def test_without_a_detection_there_is_no_mask():
    detector = detectors.tiny_detector('mask_rcnn')
    detector.roi_head.test_cfg.score_thr = 1.0
    limits = read_thresholds(detector.roi_head.test_cfg, 'roi_head')
    (found,) = predicted(detector, scenes(1, SIZE, SIZE), limits, True)
    assert len(found) == 0 == len(found.masks)
