"""Checkpoints of a detector that trains with something attached: the detector's own.

``state_dict`` holds the detector alone, under its own names, so every tool of mmdet reads such a
checkpoint. What is attached is kept beside it, for whoever resumes.
"""

from typing import Any

from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector
from mmdet_lcp.datasets.label_names import label_meta
from mmdet_lcp.wrappers import unwrap

ATTACHED = 'attached_state_dict'
_OWN = 'detector.'


class PlainCheckpoints:
    """For runners: what they save holds the detector's own weights; what they load may.

    Class names in a checkpoint have the order of the labels.

    Hooks that change a checkpoint (an average of weights, say) see the whole model's weights.
    """

    model: nn.Module
    train_dataloader: Any

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As mmengine's."""
        if fn_name == 'after_load_checkpoint':
            join_attached(self.model, kwargs['checkpoint'])
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'before_save_checkpoint':
            meta = kwargs['checkpoint'].get('meta') or {}
            if 'dataset_meta' in meta:
                meta['dataset_meta'].update(label_meta(self.train_dataloader.dataset))
            part_attached(self.model, kwargs['checkpoint'])


def plain_detector(model: nn.Module) -> nn.Module:
    """The detector inside what trains: without wrapper for several ranks or attachments."""
    model = unwrap(model)
    return model.detector if isinstance(model, AttachedDetector) else model


def part_attached(model: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Part a checkpoint's weights into those of the detector and those attached, in place.

    Args:
        model: what trains; nothing is changed unless something is attached to it.
        checkpoint: with the ``state_dict`` of that model.
    """
    if _attached(model) is None:
        return
    weights = checkpoint['state_dict']
    own = {k.removeprefix(_OWN): v for k, v in weights.items() if k.startswith(_OWN)}
    checkpoint[ATTACHED] = {k: v for k, v in weights.items() if not k.startswith(_OWN)}
    checkpoint['state_dict'] = own


def join_attached(model: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Undo `part_attached`, in place; a checkpoint of a detector alone leaves the rest as it is.

    Args:
        model: what the checkpoint is for; nothing is changed unless something is attached to it.
        checkpoint: a detector's, or one that `part_attached` has changed.
    """
    model = _attached(model)
    if model is None:
        return
    weights = checkpoint.get('state_dict', checkpoint)
    rest = checkpoint.pop(ATTACHED, None)
    if rest is None:
        rest = {k: v for k, v in model.state_dict().items() if not k.startswith(_OWN)}
    checkpoint['state_dict'] = {
        **{_OWN + key.removeprefix('module.'): value for key, value in weights.items()},
        **rest,
    }


def _attached(model: nn.Module) -> AttachedDetector | None:
    model = unwrap(model)
    return model if isinstance(model, AttachedDetector) else None
