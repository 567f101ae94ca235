"""Which training images have objects: channels are scored on those first.

On images without any, a detector's loss is that of its background alone, and maps show little of
what its channels are for.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmdet_lcp.datasets.label_names import label_names
from mmdet_lcp.datasets.object_labels import object_labels

_SHOWN = 10


def objects_first(dataset: Any, order: Sequence[int], enough: int) -> np.ndarray:
    """Move images without objects behind those with some; else the order stays.

    Args:
        dataset: see `object_labels`; where it tells nothing, the order stays as it is.
        order: indices of images.
        enough: so many with objects are looked for; what follows them stays as it is.

    Returns:
        The same indices.
    """
    order = np.asarray(order)
    found, without = [], []
    for place, index in enumerate(order):
        if len(found) == enough:
            return np.array([*found, *without, *order[place:]], dtype=order.dtype)
        labels = object_labels(dataset, int(index))
        if labels is None:
            return order
        (found if labels else without).append(index)
    return np.array([*found, *without], dtype=order.dtype)


def objects_text(dataset: Any, indices: Sequence[int], what: str) -> tuple[str, bool]:
    """What there is to see on chosen images, in words, and whether it is little.

    Args:
        dataset: see `object_labels`.
        indices: of the chosen images.
        what: they are called.

    Returns:
        The words, '' if the data set tells nothing; and whether some images have no objects.
    """
    chosen = [int(index) for index in dict.fromkeys(map(int, indices))]
    labels = [object_labels(dataset, index) for index in chosen]
    if not labels or None in labels:
        return '', False
    some = sum(map(bool, labels))
    count = Counter(label for own in labels for label in own)
    text = f'{len(chosen)} {what}, {some} of them with objects'
    if count:
        names = label_names(dataset) or ()

        def name(label: int) -> str:
            return str(names[label]) if label < len(names) else f'class {label}'

        text += f': {_listed([f"{name(label)} {n}" for label, n in count.most_common()])}'
        missing = [name(label) for label in range(len(names)) if label not in count]
        if missing:
            text += f'; none of {_listed(missing)}'
    if some < len(chosen):
        text += (
            '. The others show the background only, and the data set has no more with objects: '
            'channels are judged on little'
        )
    return text, some < len(chosen)


def _listed(words: Sequence[str]) -> str:
    more = f' and {len(words) - _SHOWN} more' if len(words) > _SHOWN else ''
    return ', '.join(words[:_SHOWN]) + more
