"""mmcv: an image that cannot be read is named, with what to do, whatever the decoder says."""

from __future__ import annotations

import functools

from mmdet_lcp.errors import CompressionError

_MARK = '_mmdet_lcp_named'


def unreadable_images_named() -> None:
    """Let ``LoadImageFromFile`` name the image that it cannot read.

    mmcv names the file where OpenCV finds no image in it. Of an empty file OpenCV says that an
    assertion on a buffer failed, and Pillow speaks of a ``BytesIO``: among a hundred thousand
    images such a message is of no use. What is read without an error stays as it is.
    """
    from mmcv.transforms import LoadImageFromFile

    given = LoadImageFromFile.transform
    if hasattr(given, _MARK):
        return

    @functools.wraps(given)
    def transform(self, results: dict) -> dict | None:
        try:
            return given(self, results)
        except CompressionError:
            raise
        except Exception as error:  # of any decoder or file store
            why = str(error).strip().splitlines() or ['']
            raise CompressionError(
                f'{results.get("img_path")}: cannot be read as an image '
                f'({type(error).__name__}: {why[0]:.200}). It is missing, cut short or no image: '
                'copy it again, or take it out of the annotation file'
            ) from error

    setattr(transform, _MARK, True)
    LoadImageFromFile.transform = transform
