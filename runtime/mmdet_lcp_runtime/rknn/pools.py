"""Max pools with a window larger than their map, as chains of smaller ones.

Rockchip's toolkit takes the maximum over the whole axis for such a one, without a word
(rknn-toolkit2 2.5.0): spatial pyramid pooling at small inputs. Where the window sees all of the
axis from each pixel, that is right.
"""

from typing import Any

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed


def replace_large_pools(model: Any, sizes: dict[str, tuple[int, int]]) -> int:
    """Put chains of smaller pools in the place of each, in the model itself.

    Args:
        model: an ``onnx.ModelProto``.
        sizes: height and width of maps, by name.

    Returns:
        Number of pools that were replaced.

    Raises:
        DetectionError: one has a stride, or a padding that is not half of its window; or the size
            of a pool's map is not known.
    """
    helper = needed('onnx').helper
    made, replaced = [], 0
    for node in model.graph.node:
        keys = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type != 'MaxPool':
            made.append(node)
            continue
        window, size = keys['kernel_shape'], sizes.get(node.input[0], (0, 0))
        if 0 in size:
            raise DetectionError(f'{node.name}: the size of what this max pool takes is not known')
        if not _wrong(window, size):
            made.append(node)
            continue
        side = min(size)
        steps = _steps(window, keys, side)
        if steps is None:
            raise DetectionError(
                f'{node.name}: a max pool of window {list(window)} on a map of {list(size)}: '
                "Rockchip's toolkit computes it wrongly. Export the detector at a larger --size"
            )
        replaced += 1
        names = [node.input[0], *(f'{node.output[0]}_{n}' for n in range(1, len(steps)))]
        for before, after, step in zip(names, [*names[1:], node.output[0]], steps, strict=True):
            made.append(
                helper.make_node(
                    'MaxPool',
                    [before],
                    [after],
                    name=f'{node.name}_{after}',
                    kernel_shape=[step] * 2,
                    pads=[step // 2] * 4,
                    strides=[1, 1],
                )
            )
    del model.graph.node[:]
    model.graph.node.extend(made)
    return replaced


def _wrong(window: list[int], size: tuple[int, int]) -> bool:
    """Whether, along an axis, a window is larger than its map and does not see all of it."""
    pairs = zip(window, size, strict=True)
    return any(own > side and own // 2 < side - 1 for own, side in pairs)


def _steps(window: list[int], keys: dict[str, Any], side: int) -> list[int] | None:
    """Windows of 5 and 3 that see as far one after the other; None if there are none."""
    size = window[0]
    plain = (
        window == [size, size]
        and size % 2 == 1
        and keys.get('strides', [1, 1]) == [1, 1]
        and keys.get('dilations', [1, 1]) == [1, 1]
        and keys.get('pads') == [size // 2] * 4
        and not keys.get('ceil_mode', 0)
        and keys.get('auto_pad', b'NOTSET') == b'NOTSET'
    )
    if not plain:
        return None
    if side < 3:
        return None
    largest = 5 if side >= 5 else 3
    far = size // 2  # pixels to one side
    return [largest] * (far // (largest // 2)) + ([3] if far % (largest // 2) else [])
