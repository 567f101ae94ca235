"""Feature maps kept from one epoch to the next, for pipelines that show an image always alike.

Entries are named by the image and by how it lies in its batch. On disk they lie in a folder that
is named by everything else that they depend on, so several runs may share it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, load_torch

Maps = dict[str, list[Tensor]]
_PLACE = ('img_shape', 'pad_shape', 'batch_input_shape', 'flip', 'flip_direction')


class FeatureCache:
    """Maps by image, in main memory or on disk.

    Args:
        folder: where files go; ``None`` keeps the maps in memory.
        limit_gb: gigabytes of maps that this process puts in at most, > 0; then it takes no more.
    """

    def __init__(self, folder: Path | None = None, limit_gb: float = 4.0) -> None:
        self.folder = folder
        self._left = limit_gb * 2**30
        self._kept: dict[str, Maps] = {}

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self._left <= 0

    def key(self, metainfo: Mapping[str, Any]) -> str:
        """The name of an image's entry.

        Args:
            metainfo: mmdet's meta data of the image.

        Raises:
            CompressionError: it does not say which image it is.
        """
        image = metainfo.get('img_path') or metainfo.get('img_id')
        if image is None:
            raise CompressionError(
                "mimic.teacher.cache: images cannot be told apart; keep 'img_path' or 'img_id' "
                'among the meta_keys of PackDetInputs in the training pipeline'
            )
        place = [metainfo.get(name) for name in _PLACE]
        return digest([str(image), place])

    def get(self, key: str) -> Maps | None:
        """The maps (C, H, W) of an image by path, in main memory, or ``None``."""
        if self.folder is None:
            return self._kept.get(key)
        path = self.folder / f'{key}.pth'
        if not path.exists():
            return None
        try:
            return load_torch(path)
        except CompressionError:  # damaged by whatever: it is computed and written anew
            return None

    def put(self, key: str, maps: Mapping[str, list[Tensor]]) -> None:
        """Keep an image's maps, unless the limit has been reached."""
        if self.full:
            return
        kept = {path: [x.detach().cpu().clone() for x in levels] for path, levels in maps.items()}
        self._left -= sum(x.nbytes for levels in kept.values() for x in levels)
        if self.folder is None:
            self._kept[key] = kept
            return
        with atomic_path(self.folder / f'{key}.pth') as path:
            torch.save(kept, path)


def digest(data: Any) -> str:
    """A short name for plain data."""
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
