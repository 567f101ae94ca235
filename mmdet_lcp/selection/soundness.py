"""Is the dense detector sound on the selection images? Its weights, outputs and loss are read.

Where scores come out as nan or inf, the cause is seldom in the weights: outputs of a detector
that was trained for a few iterations can be so large in eval mode that its loss overflows.
"""

import math
from collections.abc import Callable, Sequence

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.modes import in_eval
from mmdet_lcp.selection.images import SelectionImages, parsed_loss

_SHOWN = 3
_MUCH = 100  # times as large in eval mode as with the batch's own statistics


def check_sound(
    dense: nn.Module, batches: Sequence[SelectionImages], warn: Callable[[str], None]
) -> None:
    """Look at a detector before anything is scored by it; on every rank.

    Args:
        dense: the detector.
        batches: this rank's selection images; the first of them are looked at.
        warn: takes lines for the user: where the loss is not finite.

    Raises:
        CompressionError: weights or outputs are not finite.
    """
    first = batches[:1]
    broken = bool(broken_weights(dense)) or not math.isfinite(largest_output(dense, first))
    terms = {} if broken else loss_terms(dense, first)
    lost = isinstance(terms, dict) and not all(map(math.isfinite, terms.values()))
    own = described(dense, first) if broken or lost else ''
    found: list[tuple[bool, str]] = [(broken, own)]
    if dist.get_world_size() > 1:
        found = dist.all_gather_object((broken, own))
    for stops, text in sorted(found, reverse=True):
        if stops:
            raise CompressionError(f'{text}. {_ADVICE}')
        if text:
            warn(f'{text}. Criteria that read the loss will have no finite scores. {_ADVICE}')
            return


_ADVICE = (
    'Is load_from a detector that was trained to its end, with the data_preprocessor of this '
    "config? Evaluate it with mmdet's test.py"
)


def described(dense: nn.Module, batches: Sequence[SelectionImages]) -> str:
    """What weights, outputs in eval mode and loss of a detector are on some images."""
    weights = broken_weights(dense)
    text = 'The dense detector on the selection images, in eval mode: '
    if weights:
        more = f' and {len(weights) - _SHOWN} more' if len(weights) > _SHOWN else ''
        text += f'nan or inf in the weights {", ".join(weights[:_SHOWN])}{more}'
    else:
        text += 'its weights are finite'
    largest = largest_output(dense, batches)
    text += f'; its outputs {_up_to(largest)}'
    norms = any(getattr(module, 'running_mean', None) is not None for module in dense.modules())
    if norms and not weights:
        own = largest_output(_with_own_statistics(dense), batches)
        if not largest <= _MUCH * own:
            text += (
                f', and {_up_to(own).removeprefix("are ")} with the statistics of these images: '
                'the running statistics of its batch norms are not settled'
            )
    terms = loss_terms(dense, batches)
    if isinstance(terms, str):
        return f'{text}; its loss cannot be taken ({terms})'
    shown = ', '.join(f'{name} {value:.3g}' for name, value in terms.items())
    return f'{text}; its loss is {sum(terms.values()):.3g} ({shown})' if terms else text


@torch.no_grad()
def largest_output(detector: nn.Module, batches: Sequence[SelectionImages]) -> float:
    """The largest magnitude among a detector's outputs; nan or inf where there is one."""
    largest = 0.0
    with in_eval(detector):
        for images in batches:
            for leaf in tree_leaves(images.run(detector)):
                if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel():
                    value = float(leaf.abs().max())  # nan if there is one
                    if not math.isfinite(value):
                        return value
                    largest = max(largest, value)
    return largest


@torch.no_grad()
def loss_terms(detector: nn.Module, batches: Sequence[SelectionImages]) -> dict[str, float] | str:
    """Each term of a detector's own loss, the mean over batches; or why there is none.

    Nothing for networks without a loss, and images without ground truth.
    """
    sums: dict[str, float] = {}
    for images in batches:
        if not hasattr(detector, 'parse_losses') or not images.data_samples:
            return {}
        try:
            logged = parsed_loss(detector, images)[1]
        except Exception as error:  # a head's own, of any kind
            return f'{type(error).__name__}: {error}'
        for name, value in logged.items():
            if 'loss' in name and name != 'loss':
                sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
    return sums


def broken_weights(detector: nn.Module) -> list[str]:
    """Names of parameters and buffers with nan or inf."""
    return [
        name
        for name, value in detector.state_dict().items()
        if value.is_floating_point() and not value.isfinite().all()
    ]


def _with_own_statistics(detector: nn.Module) -> nn.Module:
    """A copy whose batch norms take the statistics of each batch."""
    other = detached_copy(detector)
    for module in other.modules():
        if getattr(module, 'running_mean', None) is not None:
            module.running_mean = module.running_var = None
    return other


def _up_to(value: float) -> str:
    return f'are up to {value:.3g}' if math.isfinite(value) else f'are not finite ({value})'
