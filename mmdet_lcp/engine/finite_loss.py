"""A loss of nan or inf stops a training before the step that would spread it over all weights.

The weights are then still those that made the loss, and the batch is at hand: both are run again
to find the first layer whose outputs are not finite, and the run ends with its name. What is on
disk is of the last epoch that was complete.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.soundness import broken_weights
from mmdet_lcp.wrappers import unwrap

_SHOWN = 4
_ADVICE = (
    'Nothing of this is written. Look at the images and their boxes; if they are sound, the '
    'training has diverged: lower its rate (`lr`), or limit its gradients '
    '(optim_wrapper.clip_grad=dict(max_norm=35)). --resume goes on from the last complete epoch'
)


class FiniteLossHook(Hook):
    """Looks at each loss before the optimizer does; its runners put it in themselves."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._batch: Any = None

    def before_train(self, runner: Any) -> None:
        """Stand between the loss and the optimizer, which is new in each phase."""
        wrapper = runner.optim_wrapper
        step = wrapper.update_params

        def update_params(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            if not torch.isfinite(loss.detach()).all():
                raise CompressionError(self._told(runner))
            step(loss, *args, **kwargs)

        wrapper.update_params = update_params

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, as the data loader gave it."""
        self._batch = data_batch

    def _told(self, runner: Any) -> str:
        try:
            found = cause(unwrap(runner.model), self._batch)
        except Exception as error:  # the loss is what has to be told, whatever else goes wrong
            found = f'it could not be taken a second time ({type(error).__name__}: {error})'
        images = image_names(self._batch)
        shown = f' Images of the batch: {", ".join(images)}.' if images else ''
        return f'Iteration {runner.iter + 1}: the loss is not finite; {found}.{shown} {_ADVICE}'


@torch.no_grad()
def cause(model: nn.Module, batch: Any) -> str:
    """Where nan or inf come from when a model's loss is taken.

    Args:
        model: an mmengine model, whose weights are those that made the loss.
        batch: as a data loader gives it.

    Returns:
        In words: images, weights, the first layer whose outputs are not finite, and the terms.
    """
    data = model.data_preprocessor(batch, True)
    if not _finite(data['inputs']):
        return 'nan or inf in the images themselves, as they come out of the data_preprocessor'
    buffers = {name for name, _ in model.named_buffers()}  # the batch itself may have broken them
    weights = [name for name in broken_weights(model) if name not in buffers]
    if weights:
        return _listed(weights)
    broken: list[str] = []

    def look(name: str):
        def hook(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if not broken and not _finite(outputs):
                broken.append(name)

        return hook

    handles = [
        module.register_forward_hook(look(name)) for name, module in model.named_modules() if name
    ]
    try:
        losses = model(**data, mode='loss')
    finally:
        for handle in handles:
            handle.remove()
    terms = [name for name, value in losses.items() if 'loss' in name and not _finite(value)]
    shown = f' ({", ".join(terms)})' if terms else ''
    if broken:
        return f'nan or inf first in what {broken[0]} puts out{shown}'
    if terms:
        return f'all layers put out finite numbers, but the terms {", ".join(terms)} are not'
    return 'taken a second time, on the same batch, it is finite'


def check_weights(model: nn.Module, known: Collection[str]) -> None:
    """Refuse weights of nan or inf, before they are written down.

    Args:
        model: what was trained or changed.
        known: names of its state dict that may be so.

    Raises:
        CompressionError: names the weights that are so beside those.
    """
    found = [name for name in broken_weights(model) if name not in known]
    if found:
        raise CompressionError(f'{_listed(found)}. {_ADVICE}')


def _listed(weights: Sequence[str]) -> str:
    more = f' and {len(weights) - _SHOWN} more' if len(weights) > _SHOWN else ''
    return f'nan or inf in the weights {", ".join(weights[:_SHOWN])}{more}'


def image_names(batch: Any) -> Sequence[str]:
    """The files of a batch's images, as far as its samples name them."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    paths = [getattr(sample, 'img_path', None) for sample in samples or ()]
    return [str(path) for path in paths if path]


def _finite(data: Any) -> bool:
    return all(
        bool(leaf.isfinite().all())
        for leaf in tree_leaves(data)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )
