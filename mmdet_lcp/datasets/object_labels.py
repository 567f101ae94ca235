"""The objects of an image as the annotations have them, without loading it."""

from typing import Any


def object_labels(dataset: Any, index: int) -> list[int] | None:
    """Labels of the objects of an image, crowds and the like left out, before augmentation.

    Args:
        dataset: of mmdet, or another one.
        index: of the image.

    Returns:
        A label for each object; ``None`` where the data set does not tell without loading.
    """
    if not hasattr(dataset, 'get_data_info'):
        return None
    instances = dataset.get_data_info(index).get('instances')
    if instances is None:
        return None
    return [int(item['bbox_label']) for item in instances if not item.get('ignore_flag')]
