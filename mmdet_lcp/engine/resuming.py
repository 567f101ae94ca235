"""Where a training of mmengine's begins: at the newest whole checkpoint, or as the config says."""

import logging
import zipfile
from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint


def begin_or_resume(work_dir: str | Path, load_from: str | None) -> tuple[bool, str | None]:
    """Where a training that may be resumed begins.

    mmengine resumes from `load_from` where it is set, as if the training had written it, and from
    the newest checkpoint only without it.

    Args:
        work_dir: of the training.
        load_from: the checkpoint whose weights it starts from the first time, if any.

    Returns:
        `resume` and `load_from` for mmengine's `Runner`: the newest whole checkpoint of the
        work_dir if it has one, else the beginning.
    """
    newest = _newest_checkpoint(Path(work_dir))
    return newest is not None, newest or load_from


def _newest_checkpoint(work_dir: Path) -> str | None:
    """Files of mmengine are written in place: one that is killed meanwhile leaves a part."""
    named = find_latest_checkpoint(str(work_dir))
    if named is None:  # the first one has not been written to its end
        return None
    if '://' in named or (named and _is_whole(Path(named))):  # a store writes whole objects
        return named
    numbered = [path for kind in ('epoch', 'iter') for path in work_dir.glob(f'{kind}_*.pth')]
    whole = [path for path in numbered if _is_whole(path)]
    newest = max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)
    print_log(
        f'{work_dir}: last_checkpoint names {named or "nothing"}, which is no whole file; the '
        f'training {"begins again" if newest is None else f"goes on from {newest}"}',
        'current',
        logging.WARNING,
    )
    return None if newest is None else str(newest)


def _is_whole(path: Path) -> bool:
    """Whether it was written to its end, where a zip has its table; folders are DeepSpeed's."""
    return path.is_dir() or (path.is_file() and zipfile.is_zipfile(path))
