"""Configs of the package by name."""

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
