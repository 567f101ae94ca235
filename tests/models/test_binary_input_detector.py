"""The factory of detectors with binary inputs, pruned ones included."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Kept, Plan
from mmdet_lcp.models.binary_input_detector import TYPE, binary_input_model_cfg
from mmdet_lcp.models.pruned_detector import pruned_model_cfg
from mmdet_lcp.transforms import BinaryInput, attach_input, input_transforms

register_all_modules()

ROOT = Path(__file__).parents[2]
LAYER = 'backbone.stage2.0.conv'
INPUTS = {LAYER: {'type': 'BinaryInput', 'scaling': True}}


@pytest.fixture
def model() -> dict:
    cfg = Config.fromfile(ROOT / 'configs' / 'ssd' / 'ssd_narrow_vgg_digits.py').model.to_dict()
    cfg['backbone']['width_mult'] = 0.125
    cfg['neck'].update(in_channels=(64, 64), out_channels=(64, 64, 32))
    cfg['bbox_head'].update(in_channels=(64, 64, 32))
    return cfg


def outputs(detector) -> torch.Tensor:
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat(
            [v.flatten() for part in detector.eval()(image, mode='tensor') for v in part]
        )


def test_the_detector_is_of_its_own_class(model):
    plain = MODELS.build(copy.deepcopy(model))
    layer = plain.get_submodule(LAYER)
    attach_input(layer, BinaryInput.for_layer(layer, scaling=True))
    cfg = binary_input_model_cfg(model, INPUTS)
    assert cfg['type'] == TYPE and cfg['backbone'] == model['backbone']
    built = MODELS.build(copy.deepcopy(cfg))
    assert type(built) is type(plain)
    built.load_state_dict(plain.state_dict())
    assert torch.equal(outputs(built), outputs(plain))
    assert list(input_transforms(built)) == [LAYER]
    # Nothing to say leaves a config as it is, and what is said again replaces what was said.
    assert binary_input_model_cfg(model, {}) == model
    assert binary_input_model_cfg(cfg, INPUTS) == cfg


def test_a_pruned_detector(model):
    """Half of the channels that the layer reads are gone: its batch norm has as many."""
    total = MODELS.build(copy.deepcopy(model)).get_submodule(LAYER).in_channels
    keep = Kept(total, tuple(range(0, total, 2)))
    plan = Plan(
        {
            'backbone.stage1.1.conv': {'out_channels': keep},
            'backbone.stage1.1.bn': {'out_channels': keep},
            LAYER: {'in_channels': keep},
        }
    )
    cfg = binary_input_model_cfg(pruned_model_cfg(model, plan), INPUTS)
    assert (cfg['type'], cfg['detector']) == (TYPE, 'SingleStageDetector')
    built = MODELS.build(copy.deepcopy(cfg))
    layer = built.get_submodule(LAYER)
    assert layer.in_channels == len(keep.keep) < total
    assert layer.input_transform.norm.num_features == len(keep.keep)
    assert torch.isfinite(outputs(built)).all()


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(detector='SingleStageDetektor'), "model.detector='SingleStageDetektor'"),
        (dict(inputs={'backbone.stage9': {}}), "model.inputs: .*no layer 'backbone.stage9'"),
        (dict(inputs={LAYER: {'type': 'Sign'}}), f'model.inputs: {LAYER}: .*no input transform'),
        (dict(inputs={LAYER: {'type': 'BinaryInput', 'scale': 1}}), f'{LAYER}: .*scaling'),
    ],
)
def test_what_does_not_fit_is_named(model, changes, words):
    with pytest.raises(CompressionError, match=words):
        MODELS.build({**binary_input_model_cfg(model, INPUTS), **changes})
