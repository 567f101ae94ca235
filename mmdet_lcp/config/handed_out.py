"""The config that a run hands out beside its weights: its own, less what only a run needs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_lcp.config.names import named_config, names_in
from mmdet_lcp.config.pretrained import without_pretrained
from mmdet_lcp.config.top_level import KEEP_DETECTIONS

# Folders beside a handed-out config, for a training that begins with it.
RETRAINED, FURTHER = 'retrained', 'further'
_OF_A_RUN = ('runner_type', 'resume', KEEP_DETECTIONS)


def handed_out_config(
    cfg: Config,
    without: Sequence[str],
    weights: Path,
    work_dir: Path,
    model: Mapping[str, Any] | None = None,
    pretty: bool = True,
) -> Config:
    """A config of the detector that a run has made; training on from it begins at its weights.

    Args:
        cfg: the run's; it holds names alone in what comes of it.
        without: keys that only the run reads.
        weights: the checkpoint that lies beside it.
        work_dir: where a training that begins with it works.
        model: in place of the run's.
        pretty: whether its text is laid out for people, which takes seconds for a large one.
    """
    plain: dict[str, Any] = named_config(cfg).to_dict()
    for key in (*_OF_A_RUN, *without):
        plain.pop(key, None)
    if model is not None:
        plain['model'] = names_in(model, plain.get('default_scope', 'mmengine'))
    plain['model'] = without_pretrained(plain['model'])
    plain['load_from'] = str(weights)
    plain['work_dir'] = str(work_dir)
    return Config(plain, format_python_code=pretty)


def inherits_work_dir(file: str, work_dir: str) -> bool:
    """Whether a config has its `work_dir` from a handed-out one among its bases.

    That folder is for a training of the handed-out detector as it is; several configs that inherit
    it would write over each other there.

    Args:
        file: of the config, ``'package::...'`` too.
        work_dir: that it has, with what its bases say.
    """
    folder, path = Path(work_dir), Path(file)
    if folder.name not in (RETRAINED, FURTHER) or not path.is_file():
        return False
    beside = folder.resolve().parent == path.resolve().parent
    return not beside and not re.search(r'^work_dir\b', path.read_text('utf-8'), re.M)
