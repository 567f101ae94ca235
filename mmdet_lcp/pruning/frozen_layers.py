"""Say, before anything is trained, what frozen layers and fixed norms mean for pruning.

mmdet's detectors start from ImageNet weights and keep a part of them: the first stages
(`frozen_stages`), scale and shift of the batch norms (`norm_cfg.requires_grad=False`), and their
running statistics (`norm_eval`). Pruning changes such layers, training afterwards does not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.selection.norm_statistics import Statistics

_SHOWN = 4


def frozen_layer_messages(
    detector: nn.Module, stages: Sequence[Stage], norm_statistics: Statistics
) -> list[str]:
    """Messages for the log; none where everything is trained.

    Args:
        detector: as it will be trained; left in the mode it is in.
        stages: of the run.
        norm_statistics: `pruning.norm_statistics`.
    """
    with _training(detector):
        modules = dict(detector.named_modules())
        norms = {path: m for path, m in modules.items() if isinstance(m, _BatchNorm)}
        fixed = [path for path, norm in norms.items() if not norm.training]
    written = dict.fromkeys(m.path for stage in stages for m in stage.group.producers)
    frozen = [path for path in written if _frozen(modules[path])]
    scales = [p for p, norm in norms.items() if _frozen(norm) and not _behind_frozen(detector, p)]
    messages = []
    if frozen:
        messages.append(
            f'{len(frozen)} of the {len(written)} layers that lose channels are frozen '
            f'({_list(frozen)}). They are pruned like the others and the update (pruning.update) '
            'changes frozen kernels too, but neither the fine-tuning nor the retraining does. '
            f'{_remedy(detector, frozen, _STAGES)}'
        )
    if scales:
        messages.append(
            f'{len(scales)} of {len(norms)} batch norms have a frozen scale and shift '
            f'({_list(scales)}): training does not fit them to the channels that are left. '
            f'{_remedy(detector, scales, _SCALES)}'
        )
    if fixed:
        anew = 'are taken anew once before the retraining if that loses less'
        if norm_statistics != 'best':
            anew = 'stay' if norm_statistics == 'keep' else 'are taken anew before the retraining'
        remedy = _remedy(detector, fixed, _STATISTICS, _STAGES)
        messages.append(
            f'{len(fixed)} of {len(norms)} batch norms keep their running statistics in training '
            f'({_list(fixed)}). They are those of the detector before pruning and {anew} '
            f'(pruning.norm_statistics={norm_statistics!r}). {remedy} With few images a GPU '
            '(fewer than about 8) fixed statistics are the better choice.'
        )
    return messages


@contextmanager
def _training(detector: nn.Module) -> Iterator[None]:
    """The modes that its modules choose for training."""
    modes = [(module, module.training) for module in detector.modules()]
    detector.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _frozen(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and not any(parameter.requires_grad for parameter in own)


def _behind_frozen(detector: nn.Module, path: str) -> bool:
    """Whether the layer before a norm, among its siblings, is frozen too: a frozen stage."""
    parent, _, name = path.rpartition('.')
    before = False
    for sibling, module in detector.get_submodule(parent).named_children():
        if sibling == name:
            return before
        if isinstance(module, _ConvNd):
            before = _frozen(module)
    return before


def _remedy(detector: nn.Module, paths: Iterable[str], *switches: '_Switch') -> str:
    """Which config keys unfreeze these modules: those of the parts of the detector they are in."""
    options: dict[str, None] = {}
    for path in paths:
        names = path.split('.')
        # The outermost part first: a backbone's blocks know its `norm_cfg` as well.
        above = ['.'.join(names[:end]) for end in range(1, len(names))]
        for is_on, key in switches:
            part = next((p for p in above if is_on(detector.get_submodule(p))), None)
            if part is not None:
                options[f'model.{part}.{key}'] = None
    if not options:
        return 'No key of the config is known to change that.'
    return f'To change that: --cfg-options {" ".join(options)}.'


def _list(paths: Sequence[str]) -> str:
    more = f' and {len(paths) - _SHOWN} more' if len(paths) > _SHOWN else ''
    return ', '.join(paths[:_SHOWN]) + more


# Whether a part of the detector has switched something off, and the key that switches it on.
_Switch = tuple[Callable[[nn.Module], bool], str]
_STAGES: _Switch = (
    lambda part: isinstance(stages := getattr(part, 'frozen_stages', None), int) and stages >= 0,
    'frozen_stages=-1',
)
_SCALES: _Switch = (
    lambda part: isinstance(getattr(part, 'norm_cfg', None), dict),
    'norm_cfg.requires_grad=True',
)
_STATISTICS: _Switch = (
    lambda part: getattr(part, 'norm_eval', None) is True,
    'norm_eval=False',
)
