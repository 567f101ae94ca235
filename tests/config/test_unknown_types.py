import pytest
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.registry import HOOKS, METRICS

from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.errors import CompressionError


@pytest.mark.parametrize(
    ('registry', 'given', 'message'),
    [
        (HOOKS, dict(type='EMAHok'), "hook type='EMAHok', .*mmdet; the nearest is 'EMAHook'"),
        (TRANSFORMS, dict(type='Resise'), "transform type='Resise'.*nearest is 'Resize'"),
        (METRICS, dict(type='CocoMetrik'), "metric type='CocoMetrik'.*nearest is 'CocoMetric'"),
        (MODELS, dict(type='ResNett'), "model type='ResNett'.*nearest is 'ResNet'"),
        (HOOKS, dict(type='Mine'), r"type='Mine', .*mmdet\. One of your own"),
        (HOOKS, dict(type='mmdet.EMAHok'), "type='mmdet.EMAHok'.*nearest is 'EMAHook'"),
        (MODELS, dict(type='ResNet', dpeth=18), "type='ResNet' .*'dpeth'.*does not take"),
        (MODELS, dict(type='FPN', num_outs=3), "type='FPN' too few keys; missing: 'in_channels'"),
    ],
)
def test_what_cannot_be_built(registry, given, message):
    with pytest.raises(CompressionError, match=message) as caught, types_told():
        registry.build(given)
    assert '\n' not in str(caught.value)


def wrong_call():
    return wrong_call(1)


@pytest.mark.parametrize('work', [lambda: {}['EMAHook'], wrong_call, lambda: wrong_call(a=1)])
def test_other_errors_keep_their_traceback(work):
    with pytest.raises((KeyError, TypeError)), types_told():
        work()


def test_a_mistake_inside_what_is_built(monkeypatch):
    class Broken:
        def __init__(self):
            wrong_call(b=2)

    with pytest.raises(TypeError), types_told():
        MODELS.build(dict(type=Broken))
