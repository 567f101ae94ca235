"""From a head's outputs to detections: one file a family of heads.

A family is recognised by the functions that its head predicts with: a head of somebody's own that
changes nothing in them is exported like its parent; one that does is refused by name, because what
it computes there would be missing in the file.
"""

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.detectors.base_detr import DetectionTransformer
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.postprocess.base_dense import BaseDensePostprocess
from mmdet_lcp.export.postprocess.centernet import CenterNetPostprocess
from mmdet_lcp.export.postprocess.detr import DETRPostprocess
from mmdet_lcp.export.postprocess.foreign import foreign_function
from mmdet_lcp.export.postprocess.fovea import FoveaPostprocess
from mmdet_lcp.export.postprocess.gfl import GFLPostprocess
from mmdet_lcp.export.postprocess.levels import DensePostprocess
from mmdet_lcp.export.postprocess.paa import PAAPostprocess
from mmdet_lcp.export.postprocess.reppoints import RepPointsPostprocess
from mmdet_lcp.export.postprocess.tood import TOODPostprocess
from mmdet_lcp.export.postprocess.two_stage import TwoStagePostprocess
from mmdet_lcp.export.postprocess.yolov3 import YOLOV3Postprocess
from mmdet_lcp.export.postprocess.yolox import YOLOXPostprocess
from mmdet_lcp.graph.forward import is_two_stage

FAMILIES: tuple[type[DensePostprocess], ...] = (
    BaseDensePostprocess,
    GFLPostprocess,
    TOODPostprocess,
    PAAPostprocess,
    FoveaPostprocess,
    RepPointsPostprocess,
    YOLOV3Postprocess,
    YOLOXPostprocess,
    CenterNetPostprocess,
    DETRPostprocess,
)

# Whose `predict` is followed; one with another reports more, or something else.
DETECTORS = (SingleStageDetector, TwoStageDetector, DetectionTransformer)


def family_of(head: nn.Module) -> type[DensePostprocess]:
    """The family of a dense head.

    Raises:
        CompressionError: none knows it.
    """
    for family in FAMILIES:
        if foreign_function(head) is None and family.fits(head):
            return family
    raise CompressionError(
        f'bbox_head ({type(head).__module__}.{type(head).__name__}) cannot be exported with its '
        'post-processing: it predicts in a way of its own. --raw writes its outputs as they are'
    )


def postprocess_of(
    detector: nn.Module, image_size: tuple[int, int]
) -> DensePostprocess | TwoStagePostprocess:
    """What turns a detector's outputs (one stage) or feature maps (two stages) into detections.

    Args:
        detector: an mmdet detector.
        image_size: (height, width) in pixels of the input.

    Raises:
        CompressionError: a head is not known, or there is none, or the detector predicts in a way
            of its own.
    """
    own = type(detector)
    if all(own.predict is not known.predict for known in DETECTORS):
        one = not is_two_stage(detector)
        raw = ". --raw writes the bbox_head's outputs as they are" if one else ''
        raise CompressionError(
            f'{own.__name__} cannot be exported with its post-processing: it predicts in a way of '
            'its own, and what it adds would be missing in the file. Only detectors with the '
            f'`predict` of SingleStageDetector, TwoStageDetector or DetectionTransformer can{raw}'
        )
    if is_two_stage(detector):
        return TwoStagePostprocess(detector, image_size)
    head = getattr(detector, 'bbox_head', None)
    if head is None:
        raise CompressionError(
            f'{type(detector).__name__} has no bbox_head: it reports no boxes that could be '
            'exported'
        )
    family = family_of(head)
    if family is DETRPostprocess and head.test_cfg is not None:
        head.test_cfg.setdefault('max_per_img', detector.num_queries)  # as mmdet
    return family(head, image_size)
