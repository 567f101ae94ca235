"""A detector of four layers whose connections are pruned, and NumPy's word on which go."""

import numpy as np
import torch
from torch import nn

from mmdet_lcp.weight_compression import ConnectionPruning

WHERE = 'weight_compression.methods.mask'
TRAINING = dict(max_epochs=1)


class Detector(nn.Module):
    """Three convolutions and a linear layer; `data_preprocessor` as a detector has one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.data_preprocessor = nn.Identity()
        self.backbone = nn.ModuleDict(
            dict(stem=nn.Conv2d(3, 8, 3), body=nn.Conv2d(8, 16, 3), norm=nn.BatchNorm2d(16))
        )
        self.head = nn.ModuleDict(dict(cls=nn.Conv2d(16, 4, 1), fc=nn.Linear(16, 10)))
        nn.init.normal_(self.head['fc'].weight, std=3)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return {'loss_cls': (self.backbone['body'](inputs)).square().mean()}


PATHS = ['backbone.body', 'head.cls', 'head.fc']


def build(**keys):
    method = ConnectionPruning(**{'training': TRAINING, **keys})
    method.check(WHERE)
    return method


def weight(detector: nn.Module, path: str) -> np.ndarray:
    return detector.get_submodule(path).weight.detach().numpy().copy()


def smallest_gone(values: np.ndarray, sparsity: float) -> np.ndarray:
    """What stays, by NumPy's order of magnitudes."""
    order = np.argsort(np.abs(values.ravel()), kind='stable')
    stays = np.ones(values.size, bool)
    stays[order[: int(np.floor(sparsity * values.size + 0.5))]] = False
    return stays.reshape(values.shape)
