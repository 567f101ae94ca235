"""Stages of a backbone, counted as the papers do."""

import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.blocks import stage_of


def stages(case) -> dict[str, int | None]:
    return {group.name: stage_of(case.detector, group.name) for group in case.groups}


def test_vgg16(narrow_vgg):
    found = stages(narrow_vgg)
    convs = [name for name in found if name.startswith('backbone.')]
    # conv1-x ... conv5-x of VGG-16, then SSD's conv6 and conv7 behind the fifth pooling
    assert [found[name] for name in convs] == [1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6]


@pytest.mark.parametrize('name', ['narrow_r50', 'small_r18'])
def test_resnet(name, request):
    for path, stage in stages(request.getfixturevalue(name)).items():
        if path.startswith('backbone.layer'):
            assert stage == int(path.removeprefix('backbone.layer')[0]) + 1  # layer1 is conv2_x
        elif path.startswith('backbone.'):
            assert (path, stage) == ('backbone.conv1', 1)


def test_narrow_vgg(small):
    for path, stage in stages(small).items():
        if path.startswith('backbone.'):
            assert stage == int(path.removeprefix('backbone.stage')[0])


def test_layers_outside_of_the_backbone_have_no_stage(narrow_vgg, small):
    for case in (narrow_vgg, small):
        outside = [
            stage for path, stage in stages(case).items() if not path.startswith('backbone')
        ]
        assert set(outside) == {None}


@pytest.mark.parametrize('path', ['backbone.conv', 'backbone.layers.0.conv'])
def test_a_backbone_without_stages(path):
    detector = nn.Module()
    detector.backbone = nn.Module()
    with pytest.raises(CompressionError, match=r'pruning\.stages: Module declares no stages'):
        stage_of(detector, path)
    detector.backbone.features = nn.Sequential(nn.Conv2d(3, 4, 1))
    if path == 'backbone.conv':
        with pytest.raises(CompressionError, match=r'pruning\.stages'):
            stage_of(detector, path)
