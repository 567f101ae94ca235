"""How far what one engine computes is from what another does."""

from dataclasses import asdict, dataclass

import numpy as np

from mmdet_lcp_runtime import metadata, nms

BOX, SCORE = 0.1, 1e-4  # pixels; probability
FAR = 1e-4  # of a box, where it lies far outside: of its distance
ALONE = 0.02  # of the detections may be in one alone: equal scores may come in any order


@dataclass(frozen=True)
class Difference:
    """Between outputs of two files on the same inputs.

    Attributes:
        box: the largest of a coordinate of boxes, in pixels.
        score: the largest of a score.
        alone: share of detections that the other does not have; 0 of decoded files.
        small: whether they are as good as equal.
    """

    box: float
    score: float
    alone: float = 0.0
    small: bool = False

    def as_dict(self) -> dict[str, float]:
        """Plain data, without the verdict."""
        return {key: value for key, value in asdict(self).items() if key != 'small'}

    def __str__(self) -> str:
        return (
            f'boxes differ by up to {self.box:.3g} pixels, scores by {self.score:.2g}, '
            f'{self.alone:.1%} of the detections are in one alone'
        )


def example_inputs(description: dict, count: int = 2, seed: int = 0) -> np.ndarray:
    """Blurred noise that a file takes: (N, H, W, C) or (N, C, H, W), in its type.

    Args:
        description: of the file.
        count: so many images at least; whole batches.
        seed: of the noise.
    """
    given = description['input']
    step = given['batch'] or 1
    count = -(-count // step) * step
    height, width, channels = given['height'] or 128, given['width'] or 128, given['channels']
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (count, -(-height // 8), -(-width // 8), channels))
    images = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    images = 0.7 * images + 0.3 * generator.uniform(0, 255, images.shape)
    if given['dtype'] == 'uint8':
        images = images.astype(np.uint8)
    elif not given['normalised_in_graph']:
        images = (images - (given['mean'] or 0)) / (given['std'] or 1)
    if given['layout'] == 'NCHW':
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, np.uint8 if given['dtype'] == 'uint8' else np.float32)


def compare(
    description: dict, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> Difference:
    """Outputs of two files, by name.

    Args:
        description: of the first.
        expected: its outputs.
        found: of the other.
    """
    if description['form'] == 'decoded':
        same = all(expected[name].shape == found[name].shape for name in ('boxes', 'scores'))
        if not same:
            return Difference(np.inf, np.inf)
        away = np.abs(expected['boxes'] - found['boxes'])
        box, score = float(away.max()), float(np.abs(expected['scores'] - found['scores']).max())
        near = bool((away <= np.maximum(BOX, FAR * np.abs(expected['boxes']))).all())
        if near and score <= SCORE:
            return Difference(box, score, small=True)
        # candidates may be in another order: of two stages, regions of equal score are
        limits = metadata.thresholds(description)
        expected, found = (_chosen(each, limits) for each in (expected, found))
    else:
        expected, found = (_rows(each) for each in (expected, found))
    least = description['thresholds']['score'] + SCORE
    boxes, scores, lonely, total = [0.0], [0.0], 0, 0
    for one, other in zip(expected, found, strict=True):
        pairs, count = _pairs(one, other, least)
        boxes += [pair[0] for pair in pairs]
        scores += [pair[1] for pair in pairs]
        lonely += count - len(pairs) + max(0, len(other[1]) - len(one[1]))
        total += count
    alone = lonely / max(1, total)
    return Difference(max(boxes), max(scores), alone, small=alone <= ALONE)


def _rows(outputs: dict[str, np.ndarray]) -> list[tuple]:
    """Detections (K, 5) and labels (K,) of each image, without padding."""
    pairs = zip(outputs['dets'], outputs['labels'], strict=True)
    return [(dets[labels >= 0], labels[labels >= 0]) for dets, labels in pairs]


def _chosen(outputs: dict[str, np.ndarray], limits: metadata.Thresholds) -> list[tuple]:
    """The same of candidates."""
    found = []
    for boxes, scores in zip(outputs['boxes'], outputs['scores'], strict=True):
        box, score, label = nms.select(boxes, scores, limits)
        found.append((np.concatenate([box, score[:, None]], 1), label))
    return found


def _pairs(one: tuple, other: tuple, least: float) -> tuple[list[tuple[float, float]], int]:
    """Differences (box, score) of the detections of `one` that `other` has, and how many count."""
    (dets, labels), (rivals, theirs) = one, other
    counts = np.flatnonzero(dets[:, 4] > least)
    free, pairs = np.ones(len(theirs), bool), []
    for index in counts:
        box = np.abs(rivals[:, :4] - dets[index, :4]).max(1)
        score = np.abs(rivals[:, 4] - dets[index, 4])
        limit = max(BOX, FAR * float(np.abs(dets[index, :4]).max()))
        fits = free & (theirs == labels[index]) & (box <= limit) & (score <= SCORE)
        if fits.any():
            nearest = int(np.where(fits, box, np.inf).argmin())
            free[nearest] = False
            pairs.append((float(box[nearest]), float(score[nearest])))
    return pairs, len(counts)
