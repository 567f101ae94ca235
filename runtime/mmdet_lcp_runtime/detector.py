"""An exported detector: image in, detections out."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from mmdet_lcp_runtime import metadata, nms
from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.draw import draw
from mmdet_lcp_runtime.engines import Engine, open_engine
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.images import Image, as_pixels
from mmdet_lcp_runtime.masks import whole_masks
from mmdet_lcp_runtime.preparing import Placement, prepare


class Detector:
    """A file of `mmdet-lcp export`, end-to-end or decoded, opened by its engine.

    Args:
        path: ``*.onnx``, ``*.xml`` (OpenVINO), ``*.ncnn.param`` (ncnn), ``*.mnn`` (MNN),
            ``*.tflite`` (LiteRT) or ``*.rknn`` (Rockchip's NPUs).
        threads: of the CPU; None leaves it to the engine.
        engine: by name, if not the one of the file's suffix (`engines.ENGINES`); or an `Engine`
            that has the file open.
        arrays: order of the colours of images that are given as arrays: ``'bgr'``, as OpenCV
            and mmdet have them, or ``'rgb'``.

    Attributes:
        metadata: what the file says of itself.
        classes: name of each label.

    Raises:
        DetectionError: the file is missing, damaged, raw, or of a newer version; its engine is
            not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        threads: int | None = None,
        engine: str | Engine | None = None,
        arrays: str = 'bgr',
    ) -> None:
        if arrays not in ('bgr', 'rgb'):
            raise DetectionError(f"arrays={arrays!r}: use 'bgr' or 'rgb'")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise DetectionError(f'threads={threads!r}: use a whole number from 1, or None')
        self.path, self._arrays = path, arrays
        opened = isinstance(engine, Engine)
        self.engine = engine if opened else open_engine(path, engine, threads)
        self.metadata = metadata.read(path, self.engine.description)
        missing = set(self.metadata.outputs) - set(self.engine.outputs(self.metadata.outputs))
        if missing:
            raise DetectionError(f'{path}: has no output {", ".join(sorted(missing))}')
        self.classes = self.metadata.classes

    def __call__(self, images: Image | Sequence[Image]) -> Detections | list[Detections]:
        """Detect.

        Args:
            images: a path, or an array (H, W, C) of uint8; or a list of them, which runs in
                batches if the file takes them.

        Returns:
            The image's detections; for a list, a list.

        Raises:
            DetectionError: an image cannot be read, or does not fit the detector.
        """
        if isinstance(images, Iterable) and not isinstance(images, Image):
            return self._batched(list(images))
        return self._batched([images])[0]

    def warm_up(self, runs: int = 2) -> None:
        """Run a gray image, so that the first real one takes no longer than the others."""
        given = self.metadata.input
        size = (given.height or 640, given.width or 640, given.channels)
        for _ in range(runs):
            self(np.full(size, 114, np.uint8))

    def draw(self, image: Image, detections: Detections, score: float = 0.3) -> np.ndarray:
        """A picture of detections: (H, W, 3), uint8, in blue-green-red."""
        return draw(self.pixels(image), detections, score)

    def pixels(self, image: Image) -> np.ndarray:
        """An image as (H, W, C), uint8, blue-green-red."""
        return as_pixels(image, self.metadata.input.channels, self._arrays)

    def _batched(self, images: list[Image]) -> list[Detections]:
        """Images of one prepared shape run together, as many as the file takes at once."""
        found: list[Detections] = []
        limit = self.metadata.input.batch
        if limit is None:
            limit = 8 if self.engine.batches else 1
        begin = 0
        while begin < len(images):
            ready, places = [], []
            for image in images[begin : begin + limit]:
                planes, place = prepare(self.pixels(image), self.metadata.input)
                if ready and planes.shape != ready[0].shape:
                    break
                ready.append(planes)
                places.append(place)
            begin += len(ready)
            found += self._run(np.stack(ready), places)
        return found

    def _run(self, batch: np.ndarray, places: list[Placement]) -> list[Detections]:
        """One batch, filled up if the file takes none smaller."""
        given = self.metadata.input
        wanted = given.batch
        if wanted is not None and len(batch) < wanted:
            batch = np.concatenate([batch, np.repeat(batch[-1:], wanted - len(batch), 0)])
        outputs = self.engine.run({given.name: np.ascontiguousarray(batch)})
        rows, columns = (1, 2) if given.layout == 'NHWC' else (2, 3)
        size = (batch.shape[rows], batch.shape[columns])
        return [
            self._detections({name: value[number] for name, value in outputs.items()}, place, size)
            for number, place in enumerate(places)
        ]

    def _detections(
        self, outputs: dict[str, np.ndarray], place: Placement, size: tuple[int, int]
    ) -> Detections:
        """Of one image; padding (label -1) is taken away."""
        masks = None
        if self.metadata.form == 'decoded':
            limits, levels = self.metadata.thresholds, self.metadata.levels
            boxes, scores, labels = nms.select(outputs['boxes'], outputs['scores'], limits, levels)
        else:
            dets, labels = outputs['dets'], outputs['labels']
            real = labels >= 0
            boxes, scores, labels = dets[real, :4], dets[real, 4], labels[real]
            masks = outputs['masks'][real] if 'masks' in outputs else None
        boxes = place.back(boxes.astype(np.float32))
        if masks is not None:
            masks = whole_masks(masks, boxes, place, size, self.metadata.mask_threshold)
        labels = labels.astype(np.int64)
        return Detections(boxes, scores.astype(np.float32), labels, masks, self.classes)
