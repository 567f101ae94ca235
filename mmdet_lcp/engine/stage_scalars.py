"""What a staged run measures along the way, for mmengine's visualisation back ends.

TensorBoard, WandB, MLflow and mmengine's own file get it, whichever the config has. The step of
these scalars is the number of stages, since a stage need not train.
"""

from collections.abc import Mapping
from typing import Any

from mmdet_lcp.measure.metrics import is_number

PREFIX = 'stages/'


def add_stage_scalars(runner: Any, values: Mapping[str, Any], stage: int) -> None:
    """Hand scalars to the back ends of a runner; what is no number is left out.

    Args:
        runner: of mmengine.
        values: by name; names get `PREFIX`.
        stage: how many stages had begun when they were measured; 0 for the dense detector.
    """
    found = {f'{PREFIX}{name}': float(v) for name, v in values.items() if is_number(v)}
    if found:
        runner.visualizer.add_scalars(found, step=stage)
