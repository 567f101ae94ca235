"""How large the weights of one detector are in each form: bytes that can be compared.

A checkpoint also holds the optimiser's state and the training log; only its weights count here.
"""

import copy

from mmengine.config import Config
from torch import nn

from mmdet_lcp.models.pruned_detector import TYPE, build_detector


def weight_bytes(detector: nn.Module) -> int:
    """Bytes of a detector's parameters and buffers, shared ones once."""
    tensors = {value.data_ptr(): value for value in detector.state_dict().values()}
    return sum(value.numel() * value.element_size() for value in tensors.values())


def dense_bytes(cfg: Config) -> int | None:
    """The same of the detector that a pruned one was made of; None where nothing was pruned."""
    # stays a ConfigDict: two-stage detectors read its keys as attributes
    model = copy.deepcopy(cfg.model)
    if model.get('type') not in (TYPE, TYPE.rpartition('.')[2]):
        return None
    kind = model.pop('detector')
    for key in ('type', 'plan'):
        del model[key]
    return weight_bytes(build_detector(kind, model))
