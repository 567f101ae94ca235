"""Checks before anything is built or written, and errors that name the config's key."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdet_lcp.errors import CompressionError

# mmengine's and mmdet's samplers for training by iterations.
_ENDLESS = ('InfiniteSampler', 'MultiSourceSampler', 'GroupMultiSourceSampler')


def check_runner_keys(kwargs: dict[str, Any], resumed: bool) -> None:
    """Check the runner's own keys before anything is built or written.

    Raises:
        CompressionError: a key is missing, or ``load_from`` names no file.
    """
    for key in ('train_dataloader', 'optim_wrapper'):
        if not isinstance(kwargs.get(key), dict):
            raise CompressionError(f"the config has no `{key}`: inherit the detector's own config")
    for name in ('train', 'val', 'test'):
        _ends(f'{name}_dataloader', kwargs.get(f'{name}_dataloader'))
    if kwargs.get('val_dataloader') is None and kwargs.get('test_dataloader') is None:
        raise CompressionError(
            'the config has neither `val_dataloader` nor `test_dataloader`: mAP could not be told'
        )
    if resumed:
        return
    load_from = kwargs.get('load_from')
    if not load_from:
        raise CompressionError(
            'compression starts from a trained detector: set `load_from` to its checkpoint, in '
            'the config or with `--cfg-options load_from=FILE`'
        )
    if not Path(load_from).is_file():
        raise CompressionError(f'load_from={load_from!r}: there is no such file')


def check_yields(key: str, loader: Any) -> None:
    """See that a data loader yields at least one batch.

    Args:
        key: of the config.
        loader: of PyTorch.

    Raises:
        CompressionError: it yields none.
    """
    if len(loader):
        return
    batches = loader.batch_sampler
    size = loader.batch_size or getattr(batches, 'batch_size', None)
    dropped = loader.drop_last or getattr(batches, 'drop_last', False)
    images = len(loader.sampler if loader.batch_size or batches is None else batches.sampler)
    why = ' and drop_last=True leaves out a batch that is not full' if dropped else ''
    raise CompressionError(
        f'{key} yields no batch: a rank has {images} images, batch_size={size}{why}. Lower '
        f'{key}.batch_size to {max(images, 1)} or less, or set {key}.drop_last=False'
    )


@contextlib.contextmanager
def readable(key: str) -> Iterator[None]:
    """Name the config's key under which a file could not be read.

    Raises:
        CompressionError: instead of an OSError, that of an image too.
    """
    try:
        yield
    except (OSError, CompressionError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise CompressionError(
            f'`{key}` names a file that cannot be read: {cause}. Check its `data_root`, '
            '`ann_file` and `data_prefix`; they are looked for from the folder of the command.'
        ) from cause


def _ends(key: str, loader: Any) -> None:
    """Raise a CompressionError for a loader whose sampler goes on for ever."""
    if not isinstance(loader, dict):
        return
    sampler = (loader.get('sampler') or {}).get('type')
    if getattr(sampler, '__name__', sampler) in _ENDLESS:
        shuffle = key == 'train_dataloader'
        why = 'this runner counts in epochs' if shuffle else 'it is measured on all images once'
        raise CompressionError(
            f'{key}.sampler.type={sampler!r} never ends an epoch, and {why}: take '
            f"dict(type='DefaultSampler', shuffle={shuffle})"
        )
