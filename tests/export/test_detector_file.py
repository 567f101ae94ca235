"""Files of every family against mmdet's own predictions, by NumPy and ONNX Runtime alone.

What `export_detector` itself compares is not trusted here: pictures of another seed are
preprocessed by hand, predicted by mmdet and matched by brute force.
"""

import json

import detectors
import numpy as np
import pytest
import torch
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from torch import nn
from torch.nn.modules.conv import _ConvNd

from mmdet_lcp import CompressionError
from mmdet_lcp.export import export_detector
from mmdet_lcp.export.geometry import Geometry
from mmdet_lcp.export.graph import samples
from mmdet_lcp.export.scenes import scenes
from mmdet_lcp_runtime import Detector

REASON = 'the extra `export` is not installed'
onnx = pytest.importorskip('onnx', reason=REASON)
onnxruntime = pytest.importorskip('onnxruntime', reason=REASON)

SIZE = 128
FPN = dict(in_channels=detectors.WIDTHS, out_channels=16)
HEAD = dict(in_channels=16, feat_channels=64, num_classes=3, stacked_convs=1)
RESNET = dict(type='ResNet', depth=18, base_channels=8, frozen_stages=-1)


def pyramid(model, **head):
    model.backbone = ConfigDict(RESNET, num_stages=4, out_indices=(0, 1, 2, 3))
    model.neck.update(FPN)
    model.bbox_head.update(HEAD)
    model.bbox_head.update(head)


def fovea(model):
    pyramid(model, with_deform=False)


def vfnet(model):
    pyramid(model)


def yolov3(model):
    model.backbone = ConfigDict(RESNET, num_stages=4, out_indices=(1, 2, 3))
    model.neck.update(in_channels=[64, 32, 16], out_channels=[16, 8, 8])
    model.bbox_head.update(in_channels=[16, 8, 8], out_channels=[16, 16, 16], num_classes=3)


def yolof(model):
    model.backbone = ConfigDict(RESNET, num_stages=4, out_indices=(3,))
    model.neck.update(in_channels=64, out_channels=16, block_mid_channels=8)
    model.bbox_head.update(in_channels=16, num_classes=3, reg_decoded_bbox=True)


def centernet(model):
    model.backbone = ConfigDict(RESNET, num_stages=4, out_indices=(3,))
    model.neck.update(in_channels=64, num_deconv_filters=(16, 16, 16), use_dcn=False)
    model.bbox_head.update(in_channels=16, feat_channels=16, num_classes=3)


def detr(model):
    model.backbone = ConfigDict(RESNET, num_stages=4, out_indices=(3,))
    model.num_queries = 20
    model.neck.update(in_channels=[64], out_channels=32)
    layer = dict(
        self_attn_cfg=dict(embed_dims=32, num_heads=4),
        ffn_cfg=dict(embed_dims=32, feedforward_channels=32),
    )
    model.encoder.update(num_layers=1)
    model.encoder.layer_cfg.update(layer)
    model.decoder.update(num_layers=1)
    model.decoder.layer_cfg.update(layer)
    model.decoder.layer_cfg.cross_attn_cfg.update(embed_dims=32, num_heads=4)
    model.decoder.post_norm_cfg = dict(type='LN')
    model.positional_encoding.update(num_feats=16)
    model.bbox_head.update(num_classes=3, embed_dims=32)
    model.test_cfg.max_per_img = 20


def ssd300(model):
    """At full depth, where L2Norm is, an eighth as wide."""
    model.backbone = ConfigDict(type='mmdet_lcp.NarrowVGG', width_mult=0.125, out_stages=(3, 4))
    model.neck = ConfigDict(
        type='SSDNeck', in_channels=(32, 64), out_channels=(32, 64, 32), level_strides=(2,),
        level_paddings=(1,), l2_norm_scale=20,
    )  # fmt: skip
    model.bbox_head.update(in_channels=(32, 64, 32), num_classes=3)
    model.bbox_head.anchor_generator = ConfigDict(
        type='SSDAnchorGenerator', scale_major=False, input_size=SIZE, min_sizes=[16, 32, 64],
        max_sizes=[32, 64, 110], strides=[4, 8, 16], ratios=[[2], [2], [2]],
    )  # fmt: skip


ZOO = {
    'ssd': ('ssd/ssd300_coco.py', ssd300),
    'gfl': ('gfl/gfl_r50_fpn_1x_coco.py', pyramid),
    'paa': ('paa/paa_r50_fpn_1x_coco.py', pyramid),
    'tood': ('tood/tood_r50_fpn_1x_coco.py', pyramid),
    'fovea': ('foveabox/fovea_r50_fpn_4xb4-1x_coco.py', fovea),
    'yolov3': ('yolo/yolov3_d53_8xb8-320-273e_coco.py', yolov3),
    'centernet': ('centernet/centernet_r18_8xb16-crop512-140e_coco.py', centernet),
    'detr': ('detr/detr_r50_8xb2-150e_coco.py', detr),
}
FAMILIES = (
    'retinanet', 'fcos', 'ssdlite', 'yolox', 'rtmdet', 'mask_rcnn', 'cascade_rcnn', *ZOO,
)  # fmt: skip


@torch.no_grad()
def spread(detector: nn.Module) -> nn.Module:
    """Every layer's outputs get deviation 1, so that scores differ and none saturate."""
    handles, seen = [], set()

    def scale(module, inputs, output):
        if module in seen or output.numel() == 1:
            return output
        seen.add(module)
        deviation = output.std().clamp(min=1e-3)
        module.weight /= deviation
        if module.bias is not None:
            module.bias /= deviation
        return output / deviation

    for module in detector.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            handles.append(module.register_forward_hook(scale))
    predictions(detector, scenes(1, SIZE, SIZE))
    for handle in handles:
        handle.remove()
    return detector


def tiny_detector(family: str) -> nn.Module:
    if family not in ZOO:
        detector = detectors.tiny_detector(family)
        if 'rcnn' in family:
            detector.rpn_head.test_cfg.update(nms_pre=300, max_per_img=200)
        return spread(detector)
    name, narrow = ZOO[family]
    model = ConfigDict(detectors.plain(get_config(f'mmdet::{name}').model.to_dict()))
    narrow(model)
    torch.manual_seed(0)
    return spread(detectors.randomise(MODELS.build(model)))


def preprocessed(detector: nn.Module, images: np.ndarray) -> np.ndarray:
    """By hand: red first where the detector wants that, then mean and deviation."""
    preprocessor = detector.data_preprocessor
    values = images.astype(np.float32)
    if preprocessor._channel_conversion:
        values = values[..., ::-1]
    if preprocessor._enable_normalize:
        values = values - preprocessor.mean.numpy().ravel()
        values = values / preprocessor.std.numpy().ravel()
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


@torch.no_grad()
def predictions(detector: nn.Module, images: np.ndarray) -> list:
    inputs = torch.from_numpy(preprocessed(detector, images))
    sample = samples(1, images.shape[1:3])
    return [detector.predict(image[None], sample)[0].pred_instances for image in inputs]


def run(path, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run(None, {'images': images})


def missing(dets: np.ndarray, labels: np.ndarray, expected, most: int) -> int:
    """How many of mmdet's detections no row of the file has: label, box and score."""
    rows = np.concatenate([dets, labels[:, None]], 1)[labels >= 0]
    count = 0
    for box, score, label in list(
        zip(expected.bboxes.numpy(), expected.scores.numpy(), expected.labels.numpy(), strict=True)
    )[:most]:
        alike = (np.abs(rows[:, :4] - box).max(1) <= 0.1) & (rows[:, 5] == label)
        count += not (alike & (np.abs(rows[:, 4] - score) <= 1e-4)).any()
    return count


@pytest.fixture(scope='module', params=FAMILIES)
def exported(request, tmp_path_factory):
    detector = tiny_detector(request.param)
    path = tmp_path_factory.mktemp(request.param) / 'x.onnx'
    return request.param, detector, export_detector(detector, Geometry(SIZE, SIZE), path)


def test_it_detects_what_mmdet_detects(exported):
    """On pictures that it was not tried on; nearly all, as thresholds fall to either side."""
    family, detector, result = exported
    images = scenes(3, SIZE, SIZE, seed=7)
    count = result.description['input']['batch'] or 3
    assert count == (1 if family in ('tood', 'detr') else 3)
    parts = [run(result.path, images[n : n + count]) for n in range(0, 3, count)]
    dets, labels = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    most = result.description['thresholds']['max_per_img']
    assert dets.shape == (3, most, 5) and labels.shape == (3, most)
    assert labels.dtype == np.int64 and dets.dtype == np.float32
    total = lost = 0
    for number, expected in enumerate(predictions(detector, images)):
        there = labels[number] >= 0
        assert (np.diff(dets[number, :, 4]) <= 0).all() and (dets[number][~there] == 0).all()
        lost += missing(dets[number], labels[number], expected, most)
        total += min(len(expected.scores), most)
    assert total > 50
    assert lost <= 0.02 * total
    assert abs((labels >= 0).sum() - total) <= 0.02 * total
    assert result.agreement.box <= 0.1 and result.agreement.score <= 1e-4


def test_what_the_file_says(exported):
    """Standard operators, one opset, one file, and the agreed keys."""
    family, _, result = exported
    model = onnx.load(str(result.path))
    onnx.checker.check_model(model, full_check=True)
    opset = 19 if family == 'tood' else 17
    assert [(each.domain, each.version) for each in model.opset_import] == [('', opset)]
    written = json.loads({p.key: p.value for p in model.metadata_props}['mmdet_lcp'])
    assert written == result.description
    assert written['outputs'] == [each.name for each in model.graph.output]
    assert ('masks' in written['outputs']) == (family == 'mask_rcnn')
    assert ('proposals' in written) == ('rcnn' in family) and 'left_out' not in written
    given = written['input']
    assert (given['layout'], given['dtype'], given['color']) == ('NHWC', 'uint8', 'bgr')
    assert given['normalised_in_graph'] and given['height'] == given['width'] == SIZE
    assert written['versions']['opset'] == opset
    assert {path.name for path in result.path.parent.iterdir()} == {'x.onnx', 'x.md'}


def test_masks(tmp_path):
    """Pasted by mmdet itself, they are mmdet's."""
    detector = tiny_detector('mask_rcnn')
    result = export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx')
    images = scenes(1, SIZE, SIZE, seed=7)
    dets, labels, masks = run(result.path, images)
    (expected,) = predictions(detector, images)
    head, count = detector.roi_head.mask_head, len(expected.scores)
    logits = torch.zeros(count, 3, *masks.shape[2:])
    values = torch.from_numpy(masks[0, :count]).clamp(1e-6, 1 - 1e-6)
    own = torch.from_numpy(labels[0, :count])
    logits[torch.arange(count), own] = torch.logit(values)
    pasted = head._predict_by_feat_single(
        logits, torch.from_numpy(dets[0, :count, :4]), own,
        dict(ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0)), detector.roi_head.test_cfg, True,
    )  # fmt: skip
    assert expected.masks.sum() > 1000
    assert (pasted != expected.masks).sum() < 0.01 * expected.masks.sum()


def test_masks_at_another_threshold(tmp_path):
    """The runtime cuts them where mmdet does."""
    detector = tiny_detector('mask_rcnn')
    detector.roi_head.test_cfg.mask_thr_binary = 0.3
    result = export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx')
    assert result.description['mask_threshold'] == 0.3
    (image,) = scenes(1, SIZE, SIZE, seed=7)
    (expected,) = predictions(detector, image[None])
    found = Detector(result.path)(image)
    theirs, ours = int(expected.masks.sum()), int(found.masks.sum())
    assert theirs > 1000 and abs(theirs - ours) < 0.01 * theirs
    detector.roi_head.test_cfg.mask_thr_binary = -1
    with pytest.raises(CompressionError, match=r'mask_thr_binary=-1: .*masks of 0 to 255'):
        export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'y.onnx')


def test_a_decoded_file_says_that_masks_are_left_out(tmp_path):
    """And of two stages how the proposals are chosen, which `thresholds` does not say."""
    detector = tiny_detector('mask_rcnn')
    result = export_detector(
        detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form='decoded', nms_pre=150
    )
    said = result.description
    assert said['outputs'] == ['boxes', 'scores'] and said['left_out'] == ['masks']
    rpn = detector.rpn_head.test_cfg
    expected = {'nms_pre': 150, 'iou': rpn.nms.iou_threshold, 'max_per_img': 200}
    assert said['proposals'] == expected and said['thresholds']['nms_pre'] == -1
    page = (tmp_path / 'x.md').read_text()
    assert '| left out | `masks` |' in page and '| proposals: nms_pre | 150 |' in page


def test_decoded_with_nms_elsewhere(tmp_path):
    """mmcv's NMS on what a decoded file gives is what mmdet detects (YOLOX: no `nms_pre`)."""
    from mmcv.ops import batched_nms

    detector = tiny_detector('yolox')
    result = export_detector(
        detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form='decoded', pixels=False
    )
    images = scenes(2, SIZE, SIZE, seed=7)
    boxes, scores = run(result.path, preprocessed(detector, images))
    assert json.loads((tmp_path / 'x.json').read_text()) == result.description
    assert result.description['input']['layout'] == 'NCHW'
    limits = result.description['thresholds']
    for number, expected in enumerate(predictions(detector, images)):
        where, label = np.nonzero(scores[number] > limits['score'])
        dets, kept = batched_nms(
            torch.from_numpy(boxes[number][where]),
            torch.from_numpy(scores[number][where, label]),
            torch.from_numpy(label),
            dict(type='nms', iou_threshold=limits['iou']),
        )
        assert abs(len(kept) - len(expected.scores)) <= 2
        rows = dets.numpy()
        assert missing(rows, label[kept.numpy()], expected, 300) <= 2


def test_decoded_with_soft_nms(tmp_path):
    """Which the runtime does, and ONNX cannot: mmdet's own detections come out."""
    from mmdet_lcp_runtime import Detector

    detector = tiny_detector('retinanet')
    soft_nms(detector)
    detector.bbox_head.test_cfg.score_thr = 0.3
    export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form='decoded')
    images = scenes(2, SIZE, SIZE, seed=7)
    total = lost = 0
    for image, expected in zip(images, predictions(detector, images), strict=True):
        found = Detector(tmp_path / 'x.onnx')(image)
        dets = np.concatenate([found.boxes, found.scores[:, None]], 1)
        inside = expected.bboxes.clamp(0, SIZE)  # as mmdet's own heads do
        expected.bboxes = inside
        lost += missing(dets, found.labels, expected, 100)
        total += len(expected.scores)
    assert total > 50 and lost <= 0.02 * total


def test_decoded_with_a_centerness(tmp_path):
    """mmdet's threshold is one of the classes' scores, before the multiplication."""
    detector = tiny_detector('fcos')
    result = export_detector(
        detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form='decoded', score_thr=0.4
    )
    assert result.description['thresholds']['score'] == 0
    assert result.description['levels'] == [16 * 16, 8 * 8, 4 * 4, 2 * 2, 1]
    images = scenes(1, SIZE, SIZE, seed=7)
    _, scores = run(result.path, images)
    with torch.no_grad():
        classes, _, centres = detector(
            torch.from_numpy(preprocessed(detector, images)), mode='tensor'
        )
    expected = []
    for score, centre in zip(classes, centres, strict=True):
        score = score.sigmoid()
        value = torch.where(score > 0.4, score * centre.sigmoid(), torch.zeros(()))
        expected.append(value[0].permute(1, 2, 0).reshape(-1, 3))
    expected = torch.cat(expected).numpy()
    assert 0.1 < (expected > 0).mean() < 0.9
    assert (np.abs(scores[0] - expected) > 1e-4).mean() < 0.01


def test_raw_outputs_are_named(tmp_path):
    detector = tiny_detector('fcos')
    result = export_detector(
        detector, Geometry(64, 96), tmp_path / 'x.onnx', form='raw', pixels=False
    )
    kinds = ('cls_score', 'bbox_pred', 'score_factor')
    names = [f'{kind}_{level}' for kind in kinds for level in range(5)]
    assert result.description['outputs'] == names
    raw = result.description['raw']
    assert raw['strides'] == [[s, s] for s in (8, 16, 32, 64, 128)]
    assert raw['shapes']['cls_score_0'] == [3, 8, 12]
    assert raw['coder']['type'] == 'DistancePointBBoxCoder' and raw['activation'] == 'sigmoid'
    images = preprocessed(detector, scenes(2, 64, 96))
    with torch.no_grad():
        expected = detector(torch.from_numpy(images), mode='tensor')
    found = dict(zip(names, run(result.path, images), strict=True))
    for kind, levels in zip(kinds, expected, strict=True):
        for level, value in enumerate(levels):
            assert np.abs(found[f'{kind}_{level}'] - value.numpy()).max() < 1e-3


@pytest.mark.parametrize('batch', [2, 'any', None])
def test_thresholds_and_batch(batch, tmp_path):
    detector = tiny_detector('retinanet')
    before = json.dumps(detector.bbox_head.test_cfg.to_dict())
    result = export_detector(
        detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', batch=batch, score_thr=0.6,
        iou_thr=0.3, nms_pre=50, max_per_img=12,
    )  # fmt: skip
    assert json.dumps(detector.bbox_head.test_cfg.to_dict()) == before
    dets, labels = run(result.path, scenes(2, SIZE, SIZE))
    assert dets.shape == (2, 12, 5) and (dets[..., 4][labels >= 0] > 0.6).all()
    detector.bbox_head.test_cfg.update(
        score_thr=0.6, nms=dict(type='nms', iou_threshold=0.3), nms_pre=50, max_per_img=12
    )
    for number, expected in enumerate(predictions(detector, scenes(2, SIZE, SIZE))):
        assert (labels[number] >= 0).sum() == len(expected.scores) > 0
        assert missing(dets[number], labels[number], expected, 12) == 0
    assert result.description['thresholds'] == dict(
        score=0.6, iou=0.3, nms_pre=50, max_per_img=12, class_agnostic=False, nms='nms'
    )


@pytest.mark.parametrize('channels', [1, 4])
def test_images_of_other_channels(channels, tmp_path):
    model = detectors.tiny_model('retinanet')
    model.backbone.in_channels = channels
    keys = dict(mean=[100.0], std=[50.0]) if channels == 1 else {}
    model.data_preprocessor = dict(type='DetDataPreprocessor', pad_size_divisor=32, **keys)
    detector = detectors.randomise(MODELS.build(model))
    result = export_detector(detector, Geometry(64, 64), tmp_path / 'x.onnx')
    given = result.description['input']
    assert given['channels'] == channels and given['color'] == {1: 'gray', 4: 'bgra'}[channels]
    images = scenes(1, 64, 64, channels, seed=3)
    dets, labels = run(result.path, images)
    (expected,) = predictions(detector, images)
    assert missing(dets[0], labels[0], expected, 100) <= 2


class OwnHead(detectors.MODELS.get('RetinaHead')):
    """Predicts in a way of its own."""

    def _predict_by_feat_single(self, *args, **keys):
        raise NotImplementedError


def soft_nms(detector):
    detector.bbox_head.test_cfg.nms = ConfigDict(type='soft_nms', iou_threshold=0.5)


def own_head(detector):
    detector.bbox_head.__class__ = OwnHead


def no_test_cfg(detector):
    detector.bbox_head.test_cfg = None


@pytest.mark.parametrize(
    ('change', 'keys', 'message'),
    [
        (own_head, {}, r'bbox_head \(.*test_detector_file\.OwnHead\).*way of its own.*--raw'),
        (soft_nms, {}, r"bbox_head \(RetinaHead\): test_cfg.nms is 'soft_nms'.*--decoded"),
        (no_test_cfg, {}, r'RetinaHead has no test_cfg'),
        (None, dict(opset=11), 'opset 11: take one from 16 to 20'),
        (None, dict(batch=0), 'batch 0: take a whole number'),
        (None, dict(score_thr=1.5), 'score_thr=1.5: take a number from 0 to 1'),
        (None, dict(max_per_img=0), 'max_per_img=0'),
        (None, dict(form='boxes'), "form 'boxes': take one of end-to-end, decoded, raw"),
        (None, dict(images=np.zeros((1, 32, 64, 3), np.uint8)), r'are \(32, 64, 3\), its input'),
    ],
)
def test_what_is_refused(change, keys, message, tmp_path):
    detector = detectors.tiny_detector('retinanet')
    if change:
        change(detector)
    with pytest.raises(CompressionError, match=message):
        export_detector(detector, Geometry(64, 64), tmp_path / 'x.onnx', **keys)
    assert list(tmp_path.iterdir()) == []


def test_thresholds_of_an_nms_that_is_not_there(tmp_path):
    detector = tiny_detector('detr')
    for given in (dict(iou_thr=0.5), dict(nms_pre=7)):
        with pytest.raises(
            CompressionError, match=r'would have no effect: mmdet does not.*DETRHead'
        ):
            export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', **given)
    for form in ('end-to-end', 'decoded'):
        with pytest.raises(CompressionError, match=r'max_per_img=21: .*take at most 20'):
            export_detector(
                detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form, max_per_img=21
            )
    yolox = tiny_detector('yolox')
    with pytest.raises(CompressionError, match=r'nms_pre=3 would have no effect.*YOLOXHead'):
        export_detector(yolox, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', nms_pre=3)
    assert list(tmp_path.iterdir()) == []


def test_deformable_convolution_is_refused_before_a_file_is_written(tmp_path):
    detector = tiny_detector('tood')
    with pytest.raises(CompressionError, match=r'opset 17 has no deformable.*TOODHead.*take 19'):
        export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', opset=17)
    with pytest.raises(CompressionError, match='as many images as are traced'):
        export_detector(detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', batch='any')
    assert list(tmp_path.iterdir()) == []


def test_the_opset_that_is_asked_for(tmp_path):
    detector = detectors.tiny_detector('retinanet')
    for opset in (16, 20):
        export_detector(detector, Geometry(64, 64), tmp_path / 'x.onnx', opset=opset)
        model = onnx.load(str(tmp_path / 'x.onnx'))
        assert [(each.domain, each.version) for each in model.opset_import] == [('', opset)]


def test_a_file_that_detects_something_else_is_not_kept(tmp_path, monkeypatch):
    """An older file stays."""
    from mmdet_lcp.export import verification

    path = tmp_path / 'x.onnx'
    path.write_bytes(b'older')
    honest = verification.run_file

    def wrong(file, images):
        dets, labels = honest(file, images)
        dets[..., 0] -= 1
        return [dets, labels]

    monkeypatch.setattr(verification, 'run_file', wrong)
    detector = detectors.tiny_detector('retinanet')
    with pytest.raises(CompressionError, match=r'other detections than mmdet.*not kept'):
        export_detector(detector, Geometry(64, 64), path)
    assert path.read_bytes() == b'older' and list(tmp_path.iterdir()) == [path]


def test_l2_norm_where_all_channels_are_zero(tmp_path):
    """1e-10 keeps it from 0 / 0: an exporter that deletes it would write NaN."""
    detector = tiny_detector('ssd')
    (norm,) = (each for each in detector.modules() if isinstance(each, L2Norm))
    stage = [m for m in detector.backbone.modules() if isinstance(m, _ConvNd)]
    for layer in stage:
        if layer.out_channels == norm.weight.shape[0]:
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, -1.0) if layer.bias is not None else None
    for each in detector.backbone.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_mean.zero_()
            each.bias.data.clamp_(max=-0.1) if each.num_features == 32 else None
    inputs = []
    norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    images = scenes(1, SIZE, SIZE)
    result = export_detector(
        detector, Geometry(SIZE, SIZE), tmp_path / 'x.onnx', form='raw', images=images
    )
    assert any((each.abs().sum(1) == 0).any() for each in inputs)
    assert all(np.isfinite(value).all() for value in run(result.path, images))
