"""A detector in one packed file: made from a checkpoint and a config, opened like any detector.

Stage 3 of Han et al., "Deep Compression", ICLR 2016. The file holds all tensors of the state
dict, bit for bit, the config (a pruned detector's plan is inside) and the checkpoint's meta data
with the class names. What only training needs (optimizer, schedules, log) stays behind.
"""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.apis import init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from mmdet_lcp.codec.config_text import config_text, to_config
from mmdet_lcp.codec.layout import SUFFIX
from mmdet_lcp.codec.patterns import to_patterns
from mmdet_lcp.codec.reader import PackedReader
from mmdet_lcp.codec.settings import PackSettings
from mmdet_lcp.codec.writer import open_writer
from mmdet_lcp.config.names import named_config
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, write_text
from mmdet_lcp.plain_weights import read_weights

SHOWN = 5


def pack_detector(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike | Config,
    path: str | os.PathLike,
    settings: PackSettings | None = None,
) -> PackedReader:
    """Pack a detector, and read the file back to compare every bit.

    Args:
        checkpoint: of mmengine's (``state_dict`` inside), or a bare state dict.
        config: the detector's; its ``model`` has to fit the checkpoint.
        path: the file to write; its name ends in ``.lcp``.
        settings: the usual ones unless given.

    Returns:
        The file, opened.

    Raises:
        CompressionError: checkpoint and config do not fit, or something in them cannot be packed.
    """
    path = Path(path)
    _check_suffix(path)
    settings = settings or PackSettings()
    if not isinstance(config, Config):
        config = Config.fromfile(config)
    config = named_config(config)
    check_packable(config)
    data = config.to_dict()
    weights, meta = read_weights(checkpoint)
    _check_fit(_build(config), {name: tuple(t.shape) for name, t in weights.items()}, checkpoint)
    with open_writer(path, settings) as writer:
        for name, tensor in weights.items():
            writer.add(name, tensor)
        writer.describe(data, meta)
    packed = PackedReader(path)
    _check_same(packed, weights, settings)
    return packed


def check_packable(config: Config) -> None:
    """Refuse a config that could not be unpacked.

    Args:
        config: a detector's.

    Raises:
        CompressionError: it has no `model`, or holds what no config file can.
    """
    if 'model' not in config:
        raise CompressionError('the config has no `model`: it is no detector')
    try:
        config_text(config.to_dict(), pretty=False)
    except CompressionError as error:
        raise CompressionError(f'config: {error}') from error


def unpack_detector(
    path: str | os.PathLike, checkpoint: str | os.PathLike, config: str | os.PathLike
) -> None:
    """Turn a packed file into a plain checkpoint and a plain config.

    Args:
        path: the packed file.
        checkpoint: where the checkpoint goes (``*.pth``).
        config: where the config goes (``*.py``).

    Raises:
        CompressionError: the file is damaged or cannot be unpacked.
    """
    packed = PackedReader(path)
    try:
        text = config_text(packed.config)
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error
    content = _checkpoint(packed)
    with atomic_path(checkpoint) as temporary:
        torch.save(content, temporary)
    write_text(config, text)


def init_packed_detector(
    path: str | os.PathLike,
    device: str | None = None,
    palette: str = 'none',
    cfg_options: dict[str, Any] | None = None,
) -> nn.Module:
    """Open a packed detector: mmdet's `init_detector` with one file instead of two.

    Args:
        path: a file of `pack_detector`'s, its name ending in ``.lcp``.
        device: where the detector goes; the accelerator if there is one, unless given.
        palette: as in `init_detector`.
        cfg_options: as in `init_detector`.

    Returns:
        The detector, in evaluation mode.

    Raises:
        CompressionError: the file is damaged, or its weights do not fit its config.
    """
    _check_suffix(Path(path))
    packed = PackedReader(path)
    config = to_config(packed.config)
    if 'custom_imports' in config:  # as Config.fromfile does
        import_modules_from_strings(**config['custom_imports'])
    if palette == 'none' and config.get('test_dataloader') is None:
        palette = 'random'  # mmdet would look for the colours in the test set
    try:
        detector = init_detector(
            config, str(path), palette, device or get_device(), cfg_options=cfg_options
        )
    except CompressionError:
        raise
    except Exception as error:  # a config of anything: mmdet fails wherever it likes
        raise CompressionError(
            f'{path}: mmdet cannot build its detector: {type(error).__name__}: {error}'
        ) from error
    _check_fit(detector, {name: record.shape for name, record in packed.records.items()}, path)
    return detector


@CheckpointLoader.register_scheme(prefixes=rf'(?s).*\{SUFFIX}$')
def load_from_packed(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Let mmengine read the checkpoint of a packed file, wherever it takes one.

    ``load_from``, `init_detector` and mmdet's tools then take a ``.lcp`` as they take a ``.pth``.

    Args:
        filename: the packed file.
        map_location: a device, or its name; anything else leaves the weights on the CPU.
    """
    content = _checkpoint(PackedReader(filename))
    if isinstance(map_location, (str, torch.device)):
        content['state_dict'] = {
            name: tensor.to(map_location) for name, tensor in content['state_dict'].items()
        }
    return content


def _checkpoint(packed: PackedReader) -> dict[str, Any]:
    return {'meta': packed.meta, 'state_dict': dict(packed.tensors())}


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise CompressionError(f'{path}: the name of a packed detector ends in {SUFFIX}')


def _build(config: Config) -> nn.Module:
    init_default_scope(config.get('default_scope', 'mmdet'))
    try:
        return MODELS.build(copy.deepcopy(config.model))
    except CompressionError:
        raise
    except Exception as error:  # a config of anything: mmdet fails wherever it likes
        raise CompressionError(
            f"mmdet cannot build the config's `model`: {type(error).__name__}: {error}"
        ) from error


def _check_fit(
    detector: nn.Module, shapes: Mapping[str, tuple[int, ...]], source: str | os.PathLike
) -> None:
    """Refuse what mmengine, which loads non-strictly, would leave at random weights."""
    own = {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}
    problems = [
        f'{name}: {shapes.get(name, "not")} in the file, {own.get(name, "not")} in the detector'
        for name in {**own, **shapes}
        if own.get(name) != shapes.get(name)
    ]
    if problems:
        more = f'\n  ... and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
        listed = '\n  '.join(problems[:SHOWN])
        raise CompressionError(
            f"{source}: its weights are those of another architecture than the config's `model` "
            f'({type(detector).__name__}):\n  {listed}{more}'
        )


def _check_same(
    packed: PackedReader, weights: Mapping[str, Tensor], packed_as: PackSettings
) -> None:
    for name, tensor in packed.tensors():
        expected = packed_as.with_plain_zeros(weights[name])
        if packed.records[name].stored:
            expected = expected.to(torch.float16).to(torch.float32)
        if not (to_patterns(tensor) == to_patterns(expected)).all():
            raise CompressionError(
                f'{packed.path}: {name} reads back differently: memory or disk of this machine '
                'are not sound; the file must not be used'
            )
