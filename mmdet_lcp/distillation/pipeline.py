"""Whether a training pipeline shows an image always alike, so that its features can be kept."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmdet_lcp.errors import CompressionError

# Transforms that draw nothing at random. One that is not known is taken to draw.
DETERMINISTIC = frozenset(
    {
        'FilterAnnotations',
        'FixScaleResize',
        'LoadAnnotations',
        'LoadEmptyAnnotations',
        'LoadImageFromFile',
        'LoadImageFromNDArray',
        'LoadProposals',
        'Normalize',
        'PackDetInputs',
        'Pad',
        'Resize',
        'ToTensor',
    }
)
# Data sets that only repeat, join or choose images of others.
WRAPPERS = frozenset({'ClassBalancedDataset', 'ConcatDataset', 'RepeatDataset'})


def check_deterministic(cfg: Mapping[str, Any], where: str) -> None:
    """Check that the training pipeline of a config draws nothing at random.

    Args:
        cfg: the whole config.
        where: the key that asks for it, for the message.

    Raises:
        CompressionError: it does; the transforms are named.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    found = list(dict.fromkeys(_random_parts(dataset)))
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    if preprocessor.get('batch_augments'):
        found.append('model.data_preprocessor.batch_augments')
    if found:
        raise CompressionError(
            f"{where}: the teacher's features can be kept only if the training pipeline shows an "
            f'image always alike, but these are random, or not known to be fixed: '
            f'{", ".join(found)}. Take them out of the pipeline, or set {where}=None'
        )


def _random_parts(dataset: Mapping[str, Any]) -> Iterator[str]:
    kind = _name(dataset.get('type'))
    inner = [*(dataset.get('datasets') or []), *filter(None, [dataset.get('dataset')])]
    if inner and kind not in WRAPPERS:
        yield kind
    for part in inner:
        yield from _random_parts(part)
    for step in dataset.get('pipeline') or []:
        name = _name(step.get('type'))
        if name not in DETERMINISTIC:
            yield name


def _name(kind: Any) -> str:
    text = kind if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))
    return text.rpartition('.')[2]
