"""The `mimic` config: every key is checked, and a typing error names the nearest key."""

import pytest
from mmengine.config import Config

from mmdet_lcp.distillation.config import (
    MimicConfig,
    TapConfig,
    TeacherConfig,
    read_mimic,
    read_mimic_of,
)
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import PruningConfig

TEACHER = dict(config='large.py', checkpoint='large.pth')


def read(**keys) -> MimicConfig:
    return read_mimic_of(Config(dict(mimic=dict(teacher=TEACHER) | keys)))


def test_defaults():
    config = read()
    assert config.teacher == TeacherConfig('large.py', 'large.pth')
    assert config.taps == [TapConfig()]
    assert (config.regions, config.num_regions, config.pooling) == ('proposals', 256, 'pixels')
    assert config.normalized and config.head_outputs == 0


def test_nested_keys():
    config = read(
        teacher=dict(TEACHER, half=True, cache='disk', cache_dir='kept'),
        taps=[dict(student='backbone', levels=[0]), dict(transform='none')],
    )
    assert config.teacher.half and config.teacher.cache_dir == 'kept'
    assert config.taps == [
        TapConfig(student='backbone', levels=[0]),
        TapConfig(transform='none'),
    ]


MISTAKES = {
    'misspelt': (dict(region='map'), r"mimic has an unknown key 'region'.*'regions'"),
    'misspelt teacher': (
        dict(teacher=dict(config='a.py', chekpoint='b.pth')),
        r"mimic.teacher has an unknown key 'chekpoint'.*'checkpoint'",
    ),
    'misspelt tap': (
        dict(taps=[dict(), dict(students='neck')]),
        r"mimic.taps\[1\] has an unknown key 'students'.*'student'",
    ),
    'no checkpoint': (
        dict(teacher=dict(config='a.py')),
        r'mimic.teacher.config is given without mimic.teacher.checkpoint',
    ),
    'no config': (
        dict(teacher=dict(checkpoint='a.pth')),
        r'mimic.teacher.checkpoint is given without mimic.teacher.config',
    ),
    'teacher in words': (dict(teacher='large.pth'), r"mimic.teacher='large.pth' must be dict"),
    'no teacher': (dict(teacher=None), r'mimic.teacher is missing'),
    'dense teacher': (dict(teacher='dense'), r'mimic.teacher is missing'),
    'half': (dict(teacher=dict(TEACHER, half='yes')), r"mimic.teacher.half='yes'"),
    'cache': (dict(teacher=dict(TEACHER, cache='ram')), r"mimic.teacher.cache='ram'"),
    'cache_dir': (
        dict(teacher=dict(TEACHER, cache='memory', cache_dir='x')),
        r"mimic.teacher.cache_dir is for mimic.teacher.cache='disk'",
    ),
    'cache_gb': (dict(teacher=dict(TEACHER, cache_gb=0)), r'mimic.teacher.cache_gb=0'),
    'weight': (dict(weight=-1), r'mimic.weight=-1 must be'),
    'nothing': (dict(weight=0), r'mimic.weight=0 and mimic.head_outputs=0: .*teaches nothing'),
    'detector_weight': (dict(detector_weight=-1), r'mimic.detector_weight=-1'),
    'head_outputs': (dict(head_outputs='all'), r"mimic.head_outputs='all'"),
    'transform': (dict(transform='fc'), r"mimic.transform='fc' is unknown"),
    'transform of a tap': (
        dict(taps=[dict(transform='fc')]),
        r"mimic.taps\[0\].transform='fc' is unknown",
    ),
    'regions': (dict(regions='boxes'), r"mimic.regions='boxes' is unknown"),
    'num_regions': (dict(num_regions=1), r'mimic.num_regions=1 must be an integer >= 2'),
    'levels': (dict(levels='each'), r"mimic.levels='each' is unknown"),
    'levels of a tap': (dict(taps=[dict(levels=1)]), r'mimic.taps\[0\].levels=1'),
    'start': (dict(start='zero'), r"mimic.start='zero' is unknown"),
    'pooling': (dict(pooling='spp'), r"mimic.pooling='spp' is unknown"),
    'output_size': (dict(output_size=0), r'mimic.output_size=0'),
    'normalized': (dict(normalized=2), r'mimic.normalized=2'),
    'image_scale': (dict(image_scale=2), r'mimic.image_scale=2 must lie in'),
    'no taps': (dict(taps=[]), r'mimic.taps is empty'),
    'taps no list': (dict(taps=dict(student='neck')), r'mimic.taps=.* must be a list'),
    'path no words': (dict(taps=[dict(teacher=3)]), r'mimic.taps\[0\].teacher=3'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes(name):
    keys, message = MISTAKES[name]
    with pytest.raises(CompressionError, match=message):
        read(**keys)


def test_missing_or_misspelt_key():
    with pytest.raises(CompressionError, match=r'Did you mean `mimik` to be `mimic`'):
        read_mimic_of(Config(dict(mimik=dict(teacher=TEACHER))))
    with pytest.raises(CompressionError, match=r'has no `mimic` key.*_base_/distill'):
        read_mimic_of(Config(dict(model=dict())))
    with pytest.raises(CompressionError, match=r'x.mimic must be a dict'):
        read_mimic([], 'x.mimic')


class TestInPruning:
    @pytest.fixture
    def pruning(self):
        def read_pruning(**phases):
            given = dict(
                criterion=dict(type='mmdet_lcp.L1Norm'),
                update=dict(type='mmdet_lcp.NoUpdate'),
                finetune=dict(max_iters=0),
                retrain=dict(max_epochs=1),
            )
            for name, phase in phases.items():
                given[name] = given[name] | phase
            return PruningConfig.from_cfg(Config(dict(pruning=given)))

        return read_pruning

    def test_default_is_none(self, pruning):
        assert pruning().retrain.mimic is None
        assert pruning(retrain=dict(mimic=None)).retrain.mimic is None

    def test_the_dense_detector_teaches(self, pruning):
        for given in (dict(), dict(teacher='dense'), dict(teacher=dict(half=True))):
            config = pruning(retrain=dict(mimic=given)).retrain
            assert isinstance(config.mimic, MimicConfig)
            assert config.max_epochs == 1

    def test_keys_are_named_in_full(self, pruning):
        for given, message in (
            (dict(wight=1), "pruning.retrain.mimic has an unknown key 'wight'.*'weight'"),
            (dict(weight=-1), 'pruning.retrain.mimic.weight=-1'),
            (dict(teacher='sparse'), "pruning.retrain.mimic.teacher='sparse'"),
            (dict(image_scale=0.5), 'pruning.retrain.mimic.image_scale=0.5'),
        ):
            with pytest.raises(CompressionError, match=message):
                pruning(retrain=dict(mimic=given))

    def test_in_the_retraining_only(self, pruning):
        with pytest.raises(CompressionError, match=r"pruning.finetune has an unknown key 'mimic'"):
            pruning(finetune=dict(mimic=dict()))
