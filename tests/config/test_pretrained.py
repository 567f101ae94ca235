import pytest
from mmengine.model import PretrainedInit

from mmdet_lcp.config.pretrained import is_pretrained, without_pretrained


@pytest.mark.parametrize(
    'kind', ['Pretrained', 'mmengine.Pretrained', PretrainedInit, 'mmengine.model.PretrainedInit']
)
def test_it_is_found_however_it_is_named(kind):
    init_cfg = dict(type=kind, checkpoint='x.pth')
    model = dict(a=dict(type='X', init_cfg=init_cfg), b=(dict(c=[init_cfg, dict(type='Normal')]),))
    assert without_pretrained(model) == dict(a=dict(type='X'), b=(dict(c=[dict(type='Normal')]),))


@pytest.mark.parametrize(
    'other', [None, 'Pretrained', dict(type='Pretrained'), dict(type='Normal', checkpoint='x')]
)
def test_other_values(other):
    assert not is_pretrained(other)
