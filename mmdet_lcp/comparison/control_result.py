"""A hook that measures what a plain training ends with, and writes it down."""

import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mmdet_lcp.comparison.imports import with_imports
from mmdet_lcp.comparison.results.comparison import CONTROL_RESULT
from mmdet_lcp.compat.mmengine import tests
from mmdet_lcp.engine.image_size import deployed_image_size
from mmdet_lcp.engine.kept_detections import kept_detections
from mmdet_lcp.engine.plain_checkpoints import plain_detector
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.files import write_json
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.registry import HOOKS, SCOPE

_SECONDS = 'seconds_of_training'


def with_result(cfg: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A config whose training ends with `ControlResultHook`; the input stays as it is.

    Args:
        cfg: of a plain training.
        options: the hook's.
    """
    hook = dict(type=f'{SCOPE}.{ControlResultHook.__name__}', **options)
    hooks = [*(cfg.get('custom_hooks') or []), hook]
    return {**with_imports(cfg, [__name__]), 'custom_hooks': hooks}


@HOOKS.register_module()
class ControlResultHook(Hook):
    """Tests the detector when training has ended, and writes ``control.json``.

    The file has ``metrics`` (of the test set, else of the validation set), ``params``, ``macs``
    and ``seconds``, those of earlier processes of the same training included.

    Args:
        image_size: (height, width) in pixels of the image whose cost is counted; ``None`` for
            that of the images it is measured on.
    """

    priority = 'LOWEST'  # the last checkpoint is written before

    def __init__(self, image_size: tuple[int, int] | None = None) -> None:
        self.image_size = None if image_size is None else tuple(image_size)
        self._before = 0.0
        self._began = time.time()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the time that it took so far."""
        checkpoint['meta'][_SECONDS] = self._seconds()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Go on with the time of an earlier process."""
        self._before = (checkpoint.get('meta') or {}).get(_SECONDS, 0.0)

    def after_train(self, runner: Any) -> None:
        """Measure and write."""
        loop = runner.test_loop if tests(runner) else runner.val_loop
        with kept_detections(runner, 'final'):
            metrics = {key: float(value) for key, value in loop.run().items()}
        detector = plain_detector(runner.model)
        cost = detector_cost(detector, self.image_size or deployed_image_size(runner, detector))
        result = dict(metrics=metrics, **cost, seconds=self._seconds())
        path = Path(runner.work_dir) / Path(CONTROL_RESULT).name
        on_main(lambda: write_json(path, result))

    def _seconds(self) -> float:
        return self._before + time.time() - self._began
