"""Names of a detector's classes: from its checkpoint, else from its config."""

from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.geometry import evaluation_datasets


def class_names(cfg: Config, meta: dict[str, Any]) -> list[str] | None:
    """The names, in the order of the labels; None where nobody says.

    Args:
        cfg: a detector's whole config.
        meta: of its checkpoint.

    Raises:
        CompressionError: checkpoint and config name different classes.
    """
    trained = _listed((meta.get('dataset_meta') or {}).get('classes'))
    said = next(
        (_listed(data['metainfo'].get('classes')) for data in evaluation_datasets(cfg)
         if isinstance(data.get('metainfo'), dict) and data['metainfo'].get('classes')),
        None,
    )  # fmt: skip
    if trained and said and trained != said:
        raise CompressionError(
            f'the checkpoint was trained on the classes {_shown(trained)}, the config names '
            f'{_shown(said)} (test_dataloader.dataset.metainfo.classes): they do not belong '
            'together'
        )
    return trained or said or _of_kind(cfg)


def _listed(classes: Any) -> list[str] | None:
    if not classes:
        return None
    return [classes] if isinstance(classes, str) else [str(each) for each in classes]


def _shown(classes: list[str]) -> str:
    return ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')


def _of_kind(cfg: Config) -> list[str] | None:
    """Those of the data set's class, where it is trained on all of them."""
    for data in evaluation_datasets(cfg):
        kind = DATASETS.get(data['type']) if isinstance(data.get('type'), str) else None
        return _listed(getattr(kind, 'METAINFO', {}).get('classes'))
    return None
