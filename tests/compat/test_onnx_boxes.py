"""What boxes are decoded by while a detector is exported, worked by hand."""

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, delta_xywh_bbox_coder

from mmdet_lcp.compat.onnx_boxes import exported_box_decoding

UPSTREAM = delta_xywh_bbox_coder.onnx_delta2bbox.__wrapped__
MEANS, STDS = (0.01, -0.02, 0.03, 0.0), (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def exporting(monkeypatch):
    """mmdet asks torch whether it is being exported."""
    monkeypatch.setattr(torch.onnx, 'is_in_onnx_export', lambda: True)


def decode(boxes: np.ndarray, deltas: np.ndarray, shape: tuple[int, int], ratio: float):
    """Faster R-CNN's parametrisation, box by box; dw and dh are limited to |ln ratio|."""
    out = np.empty_like(deltas)
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        for start in range(0, deltas.shape[1], 4):
            dx, dy, dw, dh = deltas[n, start : start + 4] * STDS + MEANS
            dw, dh = (np.clip(d, -abs(np.log(ratio)), abs(np.log(ratio))) for d in (dw, dh))
            x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
            w, h = (x2 - x1) * np.exp(dw), (y2 - y1) * np.exp(dh)
            corners = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            limits = np.array([shape[1], shape[0], shape[1], shape[0]])
            out[n, start : start + 4] = np.clip(corners, 0, limits)
    return out


@pytest.mark.parametrize('classes', [1, 3])
def test_boxes_of_one_image(exporting, classes):
    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 60, (20, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(2, 40, (20, 2))], 1)
    deltas = generator.normal(0, 4, (20, 4 * classes))
    coder = DeltaXYWHBBoxCoder(MEANS, STDS, use_box_type=False)
    found = coder.decode(
        torch.from_numpy(boxes), torch.from_numpy(deltas), (70, 80), wh_ratio_clip=0.5
    )
    expected = decode(boxes, deltas, (70, 80), 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    # some are cut at each side, and some nowhere
    assert set(np.unique(expected)) >= {0, 70, 80} and ((expected % 10) != 0).all(1).any()


def test_every_argument_is_passed_on(exporting):
    """Shifts are limited to pixels, borders are not cut."""
    coder = DeltaXYWHBBoxCoder(clip_border=False, add_ctr_clamp=True, ctr_clamp=5)
    boxes, deltas = torch.tensor([[0.0, 0, 20, 40]]), torch.tensor([[-1.0, 0.1, 0, 0]])
    found = coder.decode(boxes, deltas, (30, 30))
    # -20 pixels become -5, 4 stay
    torch.testing.assert_close(getattr(found, 'tensor', found), torch.tensor([[-5.0, 4, 15, 44]]))


def test_boxes_of_a_batch_stay_with_mmdet(monkeypatch):
    """(B, N, 4); nothing of ours is in their way, and a second call wraps nothing."""
    calls = []

    def upstream(*args, **kwargs):
        calls.append((args, kwargs))
        return 'theirs'

    monkeypatch.setattr(delta_xywh_bbox_coder, 'onnx_delta2bbox', upstream)
    exported_box_decoding()
    fixed = delta_xywh_bbox_coder.onnx_delta2bbox
    boxes = torch.tensor([[[0.0, 0, 20, 40]]])
    assert fixed(boxes, boxes, MEANS, stds=STDS) == 'theirs'
    ((args, kwargs),) = calls
    assert args[0] is args[1] is boxes and args[2:] == (MEANS,) and kwargs == dict(stds=STDS)
    assert torch.equal(fixed(boxes[0], torch.zeros(1, 4)), boxes[0]) and len(calls) == 1
    exported_box_decoding()
    assert delta_xywh_bbox_coder.onnx_delta2bbox is fixed


def test_mmdets_own_does_not_run(exporting, monkeypatch):
    """If it does one day, the fix can go."""
    monkeypatch.setattr(delta_xywh_bbox_coder, 'onnx_delta2bbox', UPSTREAM)
    box = torch.tensor([[0.0, 0, 20, 40]])
    with pytest.raises(ModuleNotFoundError, match=r'mmdet\.core'):
        DeltaXYWHBBoxCoder().decode(box, torch.zeros(1, 4), (70, 80))
