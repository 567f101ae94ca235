"""What is handed out is opened before it is needed."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from small_ssd import MODEL, build
from torch import nn

from mmdet_lcp.engine.rehearsal import rehearse
from mmdet_lcp.errors import CompressionError


def config(**changes) -> Config:
    return Config(dict(model={**MODEL, **changes}))


def test_it_leaves_random_numbers_as_they_are():
    detector = build()
    torch.manual_seed(1)
    rehearse(config(), detector)
    found = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(found, torch.rand(3))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(train_cfg=object()), 'could not be written and read back from.*SyntaxError'),
        (dict(type='NoDetector'), 'could not be built.*KeyError.*NoDetector'),
        (dict(neck=None), 'could not be loaded.*another architecture'),
        (dict(type='Changing'), r'could not be loaded.*more\.weight: not in the file'),
    ],
)
def test_what_fails_is_said(changes, message):
    with pytest.raises(CompressionError, match=f'(?s){message}') as caught:
        rehearse(config(**changes), build())
    assert 'nothing has been begun' in str(caught.value)


@MODELS.register_module(force=True)
class Changing(type(build())):
    """A detector that is another one when it is built again."""

    def __init__(self, **keys) -> None:
        super().__init__(**keys)
        self.more = nn.Conv2d(1, 1, 1)
