"""All data of a run, checked before anything runs."""

from collections.abc import Sequence
from typing import Any

from mmdet_lcp.engine.class_check import check_classes
from mmdet_lcp.engine.measurement_notes import measurement_notes
from mmdet_lcp.engine.preflight import check_yields, readable


def check_data(runner: Any, trained: Sequence[str] | None = None) -> None:
    """Open every loader of a runner, and see that its data can serve.

    Args:
        runner: an mmengine runner that trains.
        trained: the classes that its checkpoint names, by label, if it does.

    Raises:
        CompressionError: a data set cannot be read, a loader yields no batch, or classes are not
            those of the other data.
    """
    with readable('train_dataloader'):
        loaders = {'train_dataloader': runner.train_dataloader}
    evaluators = {}
    for name in ('val', 'test'):
        if getattr(runner, f'_{name}_loop') is not None:
            with readable(f'{name}_dataloader` or `{name}_evaluator'):
                loop = getattr(runner, f'{name}_loop')
            loaders[f'{name}_dataloader'] = loop.dataloader
            evaluators[f'{name}_evaluator'] = loop.evaluator
    for key, loader in loaders.items():
        check_yields(key, loader)
    datasets = {key: loader.dataset for key, loader in loaders.items()}
    check_classes(datasets, evaluators, trained, runner.logger.warning)
    for line in measurement_notes(runner):
        runner.logger.warning(line)
