"""One way to run a detector's layers without its post-processing, two-stage detectors included.

mmdet's ``mode='tensor'`` lets a two-stage detector choose its proposals by NMS, so that a change
of the weights changes which regions its heads see, and how many. Here the regions can be given.
It leaves out a semantic head beside the RoI head, and wants annotations of some detectors: their
heads run here as they do in a prediction.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.dense_heads import CascadeRPNHead, EmbeddingRPNHead
from mmdet.models.detectors import BaseDetector
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.graph.made_samples import plain_samples
from mmdet_lcp.graph.regions import Regions, given_rois

# Sides of square regions in pixels: one at least for each level of any usual RoI extractor, and
# none near a boundary between two levels.
SIDES = (10, 21, 42, 83, 166, 333, 666, 1331, 2662)


def is_two_stage(detector: nn.Module) -> bool:
    """Whether a detector has heads that run on regions."""
    return getattr(detector, 'roi_head', None) is not None


def takes_mode(model: nn.Module) -> bool:
    """Whether a model has mmengine's forward, with a mode; others have one on images alone."""
    return 'mode' in inspect.signature(model.forward).parameters


def tensor_forward(
    detector: nn.Module,
    inputs: Tensor,
    data_samples: Sequence | None = None,
    regions: Regions | None = None,
) -> Any:
    """What mmdet's forward in ``mode='tensor'`` gives, with fixed regions.

    Gradients are on or off as the caller has them; so is train or eval mode.

    Args:
        detector: an mmdet detector, any module with its forward, or with one on images alone.
        inputs: preprocessed images, (N, C, H, W).
        data_samples: their mmdet samples; by default such as say that images are not padded.
        regions: what the heads of a two-stage detector run on; by default `default_regions`.

    Returns:
        Nested tuples, lists or dicts of tensors. Of a two-stage detector the outputs of the RPN
        and of the RoI head, and of a semantic head if it has one.
    """
    if data_samples is None:
        if not isinstance(detector, BaseDetector):
            return detector(inputs, mode='tensor') if takes_mode(detector) else detector(inputs)
        data_samples = plain_samples(inputs)
    if not takes_mode(detector):
        return detector(inputs)
    if is_two_stage(detector):
        return _two_stage(detector, inputs, data_samples, regions or default_regions(inputs))
    if isinstance(detector, SingleStageInstanceSegmentor) and detector.with_bbox:
        return _instances(detector, inputs, data_samples)
    return detector.forward(inputs, data_samples, mode='tensor')


def default_regions(inputs: Tensor) -> Regions:
    """The squares of `SIDES` at the top left of each of a batch's images."""
    boxes = inputs.new_tensor([[2, 2, 2 + side, 2 + side] for side in SIDES])
    return Regions([boxes] * len(inputs))


def _two_stage(
    detector: nn.Module, inputs: Tensor, data_samples: Sequence, regions: Regions
) -> tuple:
    features = detector.extract_feat(inputs)
    rpn, head = (detector.rpn_head if detector.with_rpn else None), detector.roi_head
    with given_rois(detector, regions.rois):
        if isinstance(rpn, EmbeddingRPNHead):  # its proposals are weights, with features of each
            return (), _learned(head, features, rpn.predict(features, data_samples), data_samples)
        proposed: Any = ()
        if isinstance(rpn, CascadeRPNHead):  # its stages read the boxes of those before
            with _noted_outputs(rpn.stages) as proposed:
                rpn.predict(features, data_samples, rescale=False)
        elif rpn is not None:
            proposed = rpn(features)
        proposals = [InstanceData(bboxes=boxes) for boxes in regions.proposals]
        found = head.forward(features, proposals, data_samples)
    semantic = getattr(detector, 'semantic_head', None)
    return (proposed, found) if semantic is None else (proposed, found, semantic(features))


def _learned(
    head: nn.Module, features: Sequence[Tensor], proposals: Sequence, data_samples: Sequence
) -> list:
    """The stages of Sparse R-CNN and QueryInst, each on the boxes of the one before."""
    metas = [sample.metainfo for sample in data_samples]
    boxes = [found.bboxes for found in proposals]
    objects = torch.stack([found.features for found in proposals])
    outputs = []
    for stage in range(head.num_stages):
        rois = bbox2roi(boxes)
        found = head._bbox_forward(stage, features, rois, objects, metas)
        outputs.append((found['cls_score'], found['decoded_bboxes']))
        if head.with_mask:
            attended = found['attn_feats'].flatten(0, 1)
            outputs.append(head._mask_forward(stage, features, rois, attended)['mask_preds'])
        objects, boxes = found['object_feats'], found['detached_proposals']
    return outputs


def _instances(detector: nn.Module, inputs: Tensor, data_samples: Sequence) -> list:
    """Heads of masks that read what a head of boxes has found: YOLACT, CondInst, BoxInst."""
    features = detector.extract_feat(inputs)
    with _noted_outputs(detector.bbox_head, detector.mask_head) as outputs:
        found = detector.bbox_head.predict(features, data_samples, rescale=False)
        detector.mask_head.predict(features, data_samples, rescale=False, results_list=found)
    return outputs


@contextmanager
def _noted_outputs(*heads: nn.Module | None) -> Iterator[list]:
    """What heads return in each of their calls, in order; of a list of heads each one's."""
    noted: list = []
    with ExitStack() as hooks:
        for head in heads:
            for module in head if isinstance(head, nn.ModuleList) else [head]:
                if module is not None:
                    handle = module.register_forward_hook(
                        lambda m, args, output: noted.append(output)
                    )
                    hooks.callback(handle.remove)
        yield noted
