"""Do checkpoint, config and annotation files number the classes alike? Asked before a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmdet_lcp.datasets.label_names import (
    label_names,
    labels_follow_the_file,
    named_by_metainfo,
    parts,
)
from mmdet_lcp.errors import CompressionError


def check_classes(
    datasets: Mapping[str, Any],
    evaluators: Mapping[str, Any],
    trained: Sequence[str] | None,
    warn: Callable[[str], None],
) -> None:
    """Compare the classes of all data of a run, and those that its checkpoint names.

    Args:
        datasets: data set by the config's key of its loader; the first is what is trained on.
        evaluators: mmengine's evaluator by the config's key.
        trained: classes that the checkpoint names, by label, if it does.
        warn: takes lines for the user: where names are other ones than the config's.

    Raises:
        CompressionError: an annotation file lacks a class, or two number the classes differently.
    """
    numbered: dict[str, tuple[str, ...]] = {}
    for key, dataset in datasets.items():
        for part in parts(dataset):
            names, classes = label_names(part), named_by_metainfo(part)
            if names is None or classes is None:
                continue
            file = getattr(part, 'ann_file', '')
            _all_there(f'{key}.dataset: {file}', names, classes)
            if names != classes:
                warn(
                    f'{key}.dataset: metainfo.classes has the order {_shown(classes)}, and labels '
                    f'follow the annotation file {file}: {_shown(names)}. Names in pictures and '
                    'checkpoints are those of the file; give metainfo.classes its order'
                )
            numbered[f'{key}.dataset ({file})'] = names
    for key, evaluator in evaluators.items():
        for metric in getattr(evaluator, 'metrics', []):
            api, classes = getattr(metric, '_coco_api', None), named_by_evaluator(metric)
            if api is None or not classes:
                continue
            names = tuple(
                item['name'] for item in api.load_cats(api.get_cat_ids(cat_names=list(classes)))
            )
            _all_there(f'the annotation file of {key}', names, classes)
            numbered[key] = names
    _alike(numbered)
    training = next(iter(datasets.values()), None)
    if training is not None and trained:
        _as_trained(training, tuple(trained), warn)


def named_by_evaluator(metric: Any) -> tuple[str, ...]:
    """Classes that a metric has been told of."""
    return tuple((getattr(metric, 'dataset_meta', None) or {}).get('classes') or ())


def _all_there(where: str, names: Sequence[str], classes: Sequence[str]) -> None:
    missing = [name for name in classes if name not in names]
    if missing and len(names) < len(classes):
        raise CompressionError(
            f'{where} has no class {", ".join(map(repr, missing))}, which metainfo.classes names: '
            f'labels would be those of other classes. The file has {_shown(names)}; mend '
            'metainfo.classes, or add the class to the `categories` of the file'
        )
    if len(names) > len(classes):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise CompressionError(
            f'{where} lists {", ".join(map(repr, twice))} more than once among its `categories`: '
            'each counts as a class of its own. Give every class one name'
        )


def _alike(numbered: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse data of which the same label is another class."""
    first: tuple[str, tuple[str, ...]] | None = None
    for key, names in numbered.items():
        if first is None:
            first = key, names
        elif names != first[1] and {*names} == {*first[1]}:
            raise CompressionError(
                f'{first[0]} numbers the classes {_shown(first[1])} and {key} numbers them '
                f'{_shown(names)}: what is learnt as one class would be judged as another. Give '
                'the `categories` of the annotation files (or metainfo.classes) one order'
            )


def _as_trained(dataset: Any, trained: tuple[str, ...], warn: Callable[[str], None]) -> None:
    names, classes = label_names(dataset), named_by_metainfo(dataset)
    if names is None or trained in (names, classes):
        return  # it was trained with this config, and labels followed the file then, too
    text = (
        f'the checkpoint of load_from names its classes {_shown(trained)}, the data '
        f'{_shown(names)}'
    )
    if {*trained} != {*names}:
        warn(f'{text}: they are taken for the same ones, by their numbers')
    elif labels_follow_the_file(next(parts(dataset))):
        warn(
            f'{text}, in the order of the annotation file. If the detector was trained on a file '
            'with another order, its classes are swapped here: see its mAP before compression'
        )
    else:
        raise CompressionError(
            f'{text}: its classes would be swapped. Give metainfo.classes of all data sets the '
            "checkpoint's order"
        )


def _shown(names: Sequence[str]) -> str:
    more = f', ... ({len(names)} in all)' if len(names) > 8 else ''
    return f'({", ".join(map(str, names[:8]))}{more})'
