"""The state of a run on disk: work killed at any moment goes on from here.

`work_dir/pruning_state/`, or the folder of another runner, holds

- ``run.json``: what the run depends on, to notice another run's state, and a digest of the
  checkpoint that it began with;
- ``dense.pth``: the detector that the run began with;
- ``target.json``: how a target was shared out over the groups;
- ``stage.pth``: the detector, what was changed in it, and the records after the last stage that
  was completed;
- ``progress.pth``: the training inside the stage that is under way;
- ``distill.pth``: the distillation behind the last stage that is under way.

Every file is replaced atomically, so each is either whole or the one before.
"""

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from mmdet_lcp.config.fingerprint import WAY, changes, is_partial, listed, not_accepted
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, load_torch, read_json, write_json

FOLDER = 'pruning_state'
# Told apart: a run keeps a copy of the checkpoint that it began with, and its seed.
KEPT = ('load_from', 'randomness.seed')


class RunState:
    """Reads and writes the state of the run in a work_dir.

    Args:
        work_dir: the run's folder.
        folder: name of the state's folder in it.
    """

    def __init__(self, work_dir: str | Path, folder: str = FOLDER) -> None:
        self.folder = Path(work_dir) / folder

    @property
    def exists(self) -> bool:
        """Whether a run has begun in this work_dir."""
        return (self.folder / 'run.json').exists()

    @property
    def seed(self) -> int | None:
        """The seed of the run that has begun, if any."""
        return self._known()['seed'] if self.exists else None

    def open(
        self,
        resume: bool,
        fingerprint: Mapping[str, Any],
        checkpoint: str | None = None,
        accepted: Sequence[str] = (),
    ) -> None:
        """Refuse to overwrite a run, or to go on with one of another config.

        Args:
            resume: whether a run may have begun.
            fingerprint: what the run depends on, of `mmdet_lcp.config.fingerprint`.
            checkpoint: file that a run would begin with; it need not be there any more.
            accepted: keys that may differ from now on; with each, those below it.

        Raises:
            CompressionError: the work_dir holds the state of another run; names every key that
                differs, with both values.
        """
        if not self.exists:
            return
        if not resume:
            raise CompressionError(
                f'{self.folder.parent} holds the state of another run. Continue it with --resume, '
                'choose another --work-dir, or delete the folder.'
            )
        run = self._known()
        known = run['fingerprint']
        found = changes(known, fingerprint)
        if other := not_accepted(found, accepted):
            raise CompressionError(
                f'{self.folder.parent} holds the state of another run:{listed(other)}'
                f'Resume with the config of that run, or choose another --work-dir. {WAY}'
            )
        begun = run.get('checkpoint')
        if begun and checkpoint and Path(checkpoint).is_file() and _digest(checkpoint) != begun:
            raise CompressionError(
                f'{self.folder.parent} holds the state of another run: load_from={checkpoint!r} '
                'is another detector than it began with, of which it has a copy. Go on from that '
                'with load_from=None, or choose another --work-dir.'
            )
        if found:
            print_log(
                f'{self.folder.parent} goes on with another config than it began with:'
                f'{listed(found)}',
                'current',
                logging.WARNING,
            )
            write_json(self.folder / 'run.json', {**run, 'fingerprint': dict(fingerprint)})
        if is_partial(known):
            print_log(
                f'{self.folder.parent} was begun by an earlier release, which wrote down '
                f'`{"`, `".join(known)}` of its config: whether anything else has changed since '
                'cannot be told',
                'current',
                logging.WARNING,
            )

    def begin(self, fingerprint: Mapping[str, Any], seed: int, checkpoint: str) -> None:
        """Write down what the run depends on, and keep a copy of the dense checkpoint."""
        if self.exists:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / 'dense.pth') as path:
            shutil.copyfile(checkpoint, path)
        digest = _digest(self.folder / 'dense.pth')
        run = {'seed': seed, 'checkpoint': digest, 'fingerprint': dict(fingerprint)}
        write_json(self.folder / 'run.json', run)

    def save_target(self, data: Mapping[str, Any]) -> None:
        """Write ``target.json``."""
        write_json(self.folder / 'target.json', dict(data))

    def load_target(self) -> dict[str, Any] | None:
        """How a target was shared out, or ``None``."""
        path = self.folder / 'target.json'
        if not path.exists():
            return None
        try:
            return dict(read_json(path))
        except (ValueError, TypeError) as error:
            raise CompressionError(f'{path} is damaged: {error}. {self._anew}') from error

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Yield the path of one of the files; if it is damaged, say how to go on without it.

        Raises:
            CompressionError: raised inside.
        """
        path = self.folder / name
        try:
            yield path
        except CompressionError as error:
            advice = self._anew
            if name in ('progress.pth', 'distill.pth'):
                advice = f'Delete {path} and --resume after the last completed stage.'
            raise CompressionError(f'{error}\n{advice}') from error

    def save_stage(self, data: Mapping[str, Any]) -> None:
        """Replace ``stage.pth``; what was under way before is no longer needed."""
        self._save('stage.pth', data)
        for name in ('progress.pth', 'distill.pth'):
            (self.folder / name).unlink(missing_ok=True)

    def load_stage(self) -> dict[str, Any] | None:
        """The last completed stage, or ``None``."""
        return self._load('stage.pth')

    def save_progress(self, data: Mapping[str, Any]) -> None:
        """Replace ``progress.pth``."""
        self._save('progress.pth', data)

    def load_progress(self, phase: int) -> dict[str, Any] | None:
        """What is under way in a phase, or ``None``."""
        data = self._load('progress.pth')
        return data if data is not None and data['phase'] == phase else None

    def save_distillation(self, data: Mapping[str, Any]) -> None:
        """Replace ``distill.pth``."""
        self._save('distill.pth', data)

    def load_distillation(self) -> dict[str, Any] | None:
        """The distillation that is under way, or ``None``."""
        return self._load('distill.pth')

    def _save(self, name: str, data: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / name) as path:
            torch.save(dict(data), path)

    def _load(self, name: str) -> dict[str, Any] | None:
        if not (self.folder / name).exists():
            return None
        with self.reading(name) as path:
            return load_torch(path)

    def _known(self) -> dict[str, Any]:
        path = self.folder / 'run.json'
        try:
            known = read_json(path)
            return {**known, 'seed': known['seed'], 'fingerprint': dict(known['fingerprint'])}
        except (ValueError, KeyError, TypeError) as error:
            raise CompressionError(f'{path} is damaged: {error}. {self._anew}') from error

    @property
    def _anew(self) -> str:
        return f'Delete {self.folder} to begin the run anew.'


def _digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
