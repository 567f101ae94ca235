"""Configs of the package by name."""

from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config

from mmdet_lcp.config.file import read_config

from .helpers import fresh_python


def test_configs_of_the_package_can_be_inherited(tmp_path):
    """In a process that knows nothing of the package's place but what is installed."""
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmdet_lcp::ssd/ssd_narrow_vgg_digits.py'\nanswer = 42\n"
    )
    code = f"""
        from mmengine.config import Config
        try:
            Config.fromfile({str(tmp_path / 'mine.py')!r})
        except AssertionError as error:
            assert 'does not support' in str(error)
        else:
            raise SystemExit('mmengine knows the package by itself')
        import mmdet_lcp
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        cfg = Config.fromfile({str(tmp_path / 'mine.py')!r})
        register_all_modules()
        print(type(MODELS.build(cfg.model).bbox_head).__name__, cfg.answer)
    """
    done = fresh_python(code)
    assert done.stdout.strip().endswith('SSDHead 42'), done.stderr[-2000:]


@pytest.mark.parametrize(
    'name',
    [
        'gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py',
        'legacy_1.x/retinanet_r50_fpn_1x_coco_v1.py',
    ],
)
def test_configs_in_folders_with_other_characters(name):
    """mmengine's pattern of a folder ends at the plus sign."""
    file = Path(mmdet.__file__).parent / '.mim' / 'configs' / name
    expected = Config.fromfile(file).model.to_dict()
    inherited = Config.fromstring(f"_base_ = 'mmdet::{name}'", '.py').model.to_dict()
    assert inherited == expected | {'_scope_': 'mmdet'}
    assert read_config(f'mmdet::{name}').model.to_dict() == expected


@pytest.mark.parametrize('name', ['mmdet::gn+ws/none.py', 'no_package::gn+ws/none.py'])
def test_mmengine_says_what_is_not_there(name):
    with pytest.raises(ValueError, match='please specify the package name'):
        Config.fromstring(f"_base_ = '{name}'", '.py')
