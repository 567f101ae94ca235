"""A plain training that writes down what it ends with."""

from mmengine.registry import HOOKS
from mmengine.utils import import_modules_from_strings

from mmdet_lcp.comparison.control_result import ControlResultHook, with_result


def test_the_hook_is_added_and_can_be_built():
    given = dict(custom_hooks=[dict(type='Mine')], custom_imports=dict(imports='mine'), model=1)
    before = repr(given)
    cfg = with_result(given, image_size=[32, 64])
    assert repr(given) == before
    mine, hook = cfg['custom_hooks']
    assert mine == dict(type='Mine') and cfg['model'] == 1
    own, module = cfg['custom_imports']['imports']
    assert own == 'mine'
    import_modules_from_strings([module])
    built = HOOKS.build(hook)
    assert type(built) is ControlResultHook and built.image_size == (32, 64)


def test_a_config_without_hooks():
    assert with_result({})['custom_hooks'] == [dict(type='mmdet_lcp.ControlResultHook')]
