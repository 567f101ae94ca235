"""What decides which boxes a detector reports: thresholds, read from `test_cfg` and changed there.

They are read from the heads, where mmdet reads them, so that a file and mmdet's `predict` obey the
same numbers.
"""

from dataclasses import asdict, dataclass
from typing import Any

from mmengine.config import ConfigDict
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import is_two_stage

MOST = 300  # detections an image, where `test_cfg` has no `max_per_img`
PLAIN_NMS_KEYS = {'type', 'iou_threshold', 'iou_thr', 'class_agnostic', 'split_thr'}
SOFT_IOU = 0.3  # mmcv's default
SOFT_KEYS = {'sigma': 0.5, 'min_score': 1e-3, 'method': 'linear'}  # what the runtime knows


@dataclass(frozen=True)
class Thresholds:
    """Attributes as in `test_cfg`.

    Attributes:
        score: least score of a class, in [0, 1); larger ones pass.
        iou: boxes of a class that overlap a better one by more than this IoU go; in [0, 1].
        nms_pre: so many candidates of a level stay before NMS; 0 or less: all.
        max_per_img: so many detections of an image are reported at most, >= 1.
        class_agnostic: whether NMS compares boxes of different classes, too.
        nms: 'nms', 'soft_nms', or 'none' for detectors that have none.
    """

    score: float
    iou: float
    nms_pre: int
    max_per_img: int
    class_agnostic: bool
    nms: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return asdict(self)


def final_test_cfg(detector: nn.Module) -> ConfigDict:
    """`test_cfg` of the head that writes the boxes."""
    head = detector.roi_head if is_two_stage(detector) else getattr(detector, 'bbox_head', None)
    if head is None:
        raise CompressionError(
            f'{type(detector).__name__} has no bbox_head: it reports no boxes that could be '
            'exported'
        )
    if getattr(head, 'test_cfg', None) is None:
        raise CompressionError(
            f'{type(head).__name__} has no test_cfg: without thresholds nothing can be reported. '
            'Set `model.test_cfg`'
        )
    return head.test_cfg


def change_thresholds(
    detector: nn.Module,
    score_thr: float | None = None,
    iou_thr: float | None = None,
    nms_pre: int | None = None,
    max_per_img: int | None = None,
) -> None:
    """Write other thresholds into a detector, where mmdet reads them. None: as it is.

    Raises:
        CompressionError: a number is out of its range.
    """
    for name, value, most in (('score_thr', score_thr, 1), ('iou_thr', iou_thr, 1)):
        if value is not None and not 0 <= value <= most:
            raise CompressionError(f'{name}={value}: take a number from 0 to {most}')
    if max_per_img is not None and max_per_img < 1:
        raise CompressionError(f'max_per_img={max_per_img}: take a whole number from 1')
    cfg = final_test_cfg(detector)
    if score_thr is not None:
        cfg.score_thr = score_thr
    if max_per_img is not None:
        cfg.max_per_img = max_per_img
        if 'topk' in cfg:  # CenterNet's name of it
            cfg.topk = max_per_img
    if iou_thr is not None and cfg.get('nms'):
        cfg.nms.pop('iou_thr', None)
        cfg.nms.iou_threshold = iou_thr
    if nms_pre is not None:
        (detector.rpn_head.test_cfg if is_two_stage(detector) else cfg).nms_pre = nms_pre


def read_thresholds(cfg: ConfigDict, owner: str, with_nms: bool = True) -> Thresholds:
    """The thresholds of a `test_cfg`.

    Args:
        cfg: of a head.
        owner: the head's path and class, for messages.
        with_nms: False for detectors without NMS.

    Raises:
        CompressionError: its NMS is of a kind that neither ONNX nor the runtime has.
    """
    nms = dict(cfg.get('nms') or {})
    soft = with_nms and nms.get('type') == 'soft_nms'
    if soft:
        _check_soft_nms(nms, owner)
    elif with_nms:
        check_nms(nms, owner)
    most = int(cfg.get('max_per_img', MOST))
    if 'topk' in cfg:  # CenterNet's name of it
        most = int(cfg.topk)
    return Thresholds(
        score=float(cfg.get('score_thr', 0.0)),
        iou=float(nms.get('iou_threshold', nms.get('iou_thr', SOFT_IOU if soft else 1.0)))
        if with_nms
        else 1.0,
        nms_pre=int(cfg.get('nms_pre', -1)) if with_nms else most,
        max_per_img=most,
        class_agnostic=bool(nms.get('class_agnostic', False)),
        nms=('soft_nms' if soft else 'nms') if with_nms else 'none',
    )


def check_nms(nms: dict[str, Any], owner: str) -> None:
    """Refuse what is not plain NMS.

    Raises:
        CompressionError: see above; it says what can be done.
    """
    kind = nms.get('type', 'nms')
    if kind != 'nms':
        raise CompressionError(
            f'{owner}: test_cfg.nms is {kind!r}, which ONNX does not have. Take plain NMS: '
            'set nms.type=nms and nms.iou_threshold (--cfg-options)'
        )
    more = sorted(set(nms) - PLAIN_NMS_KEYS)
    if more:
        raise CompressionError(f'{owner}: test_cfg.nms.{more[0]} cannot be exported: leave it out')


def _check_soft_nms(nms: dict[str, Any], owner: str) -> None:
    """Refuse what is not mmcv's linear soft-NMS, which the runtime has."""
    for key in sorted(set(nms) - PLAIN_NMS_KEYS):
        if nms[key] != SOFT_KEYS.get(key):
            known = f'only {SOFT_KEYS[key]!r} is known' if key in SOFT_KEYS else 'leave it out'
            raise CompressionError(
                f'{owner}: test_cfg.nms.{key}={nms[key]!r} of soft_nms cannot be exported: {known}'
            )
