"""The whole that is exported: pixels in; detections, candidates or the head's outputs out."""

import copy

import torch
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.postprocess import family_of, postprocess_of
from mmdet_lcp.export.regions import make_traceable
from mmdet_lcp.graph.forward import is_two_stage

FORMS = ('end-to-end', 'decoded', 'raw')
END_TO_END = ('dets', 'labels', 'masks')  # outputs of the first form; the last where there are


class Pixels(nn.Module):
    """Images as they are read, (N, H, W, C) uint8, to what the detector takes, (N, C, H, W).

    Args:
        preprocessor: the detector's; its order of channels, mean and std are used.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.reversed = bool(getattr(preprocessor, '_channel_conversion', False))
        self.normalised = bool(getattr(preprocessor, '_enable_normalize', False))
        if self.normalised:
            self.register_buffer('mean', preprocessor.mean.detach().clone().float())
            self.register_buffer('std', preprocessor.std.detach().clone().float())

    def forward(self, images: Tensor) -> Tensor:
        values = images.permute(0, 3, 1, 2)
        if self.reversed and int(images.shape[3]) == 3:
            values = values[:, [2, 1, 0]]
        values = values.float()
        return (values - self.mean) / self.std if self.normalised else values


class ExportGraph(nn.Module):
    """A detector from pixels to boxes.

    Args:
        detector: an mmdet detector; it is changed, give a copy.
        image_size: (height, width) in pixels.
        form: one of `FORMS`.
        pixels: whether it takes uint8 images; else preprocessed ones.

    Raises:
        CompressionError: it is of a kind that cannot be exported.
    """

    def __init__(
        self,
        detector: nn.Module,
        image_size: tuple[int, int],
        form: str = 'end-to-end',
        pixels: bool = True,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise CompressionError(f'form {form!r}: take one of {", ".join(FORMS)}')
        self.two_stage = is_two_stage(detector)
        if form == 'raw' and self.two_stage:
            postprocess_of(detector, image_size)  # says so where --decoded would not do either
            raise CompressionError(
                f'{type(detector).__name__} has two stages: its heads have no outputs without '
                'proposals. Leave --raw out, or take --decoded'
            )
        try:
            self.postprocess = postprocess_of(detector, image_size)
        except CompressionError:
            if form != 'raw':
                raise
            self.postprocess = None  # then its outputs have numbers for names
        if form == 'end-to-end' and self.postprocess.thresholds.nms == 'soft_nms':
            name = 'roi_head' if self.two_stage else 'bbox_head'
            raise CompressionError(
                f'{name} ({type(getattr(detector, name)).__name__}): '
                "test_cfg.nms is 'soft_nms', which ONNX does not "
                'have. Write the file with --decoded, whose runtime has it, or take plain NMS '
                '(--cfg-options with nms.type=nms and nms.iou_threshold)'
            )
        make_traceable(detector)
        self.detector, self.form, self.image_size = detector, form, image_size
        self.pixels = Pixels(detector.data_preprocessor) if pixels else None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.head_outputs(self.prepared(images))
        if self.form == 'raw':
            return tuple(leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))
        if self.form == 'decoded':
            return self.postprocess.decoded(outputs)
        found = self.postprocess.detections(outputs)
        found, masks = found if self.two_stage else (found, None)
        dets = torch.cat([found.boxes, found.scores[..., None]], -1)
        return (dets, found.labels) if masks is None else (dets, found.labels, masks)

    def prepared(self, images: Tensor) -> Tensor:
        """Images as the detector takes them."""
        return images if self.pixels is None else self.pixels(images)

    def head_outputs(self, images: Tensor) -> tuple:
        """The head's outputs; of two stages the feature maps."""
        detector = self.detector
        if isinstance(detector, DetectionTransformer):
            maps = detector.extract_feat(images)
            inputs = detector.forward_transformer(maps, samples(len(images), self.image_size))
            return tuple(detector.bbox_head(**inputs))
        features = detector.extract_feat(images)
        if self.two_stage:
            return features
        outputs = detector.bbox_head(features)
        return outputs if isinstance(outputs, tuple) else tuple(outputs)

    def output_names(self, inside: tuple, outputs: tuple) -> list[str]:
        """Names of `outputs`, what `forward` gives; `inside` is what `head_outputs` gave."""
        if self.form == 'decoded':
            return ['boxes', 'scores']
        if self.form == 'end-to-end':
            return list(END_TO_END[: len(outputs)])
        return raw_names(self.detector.bbox_head, inside)


def raw_names(head: nn.Module, outputs: tuple) -> list[str]:
    """Names of a head's outputs: what they are, and the level: ``cls_score_0``.

    Heads of no known family get ``output_0``, ``output_1``, ...
    """
    try:
        names = family_of(head).names
    except CompressionError:
        names = ()
    found = []
    for number, part in enumerate(outputs):
        name = names[number] if number < len(names) else f'output{number}'
        leaves = [leaf for leaf in tree_leaves(part) if isinstance(leaf, Tensor)]
        single = isinstance(part, Tensor)
        found += [name] if single else [f'{name}_{level}' for level in range(len(leaves))]
    return found


def samples(count: int, size: tuple[int, int]) -> list[DetDataSample]:
    """What mmdet has to know of images that fill the input, pixel for pixel."""
    meta = dict(
        img_id=0,
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
        border=(0, 0, 0, 0),
    )
    return [DetDataSample(metainfo=copy.deepcopy(meta)) for _ in range(count)]
