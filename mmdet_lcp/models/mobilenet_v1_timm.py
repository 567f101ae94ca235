"""timm's names of MobileNet v1's weights, so that its ImageNet checkpoints load.

timm (https://github.com/huggingface/pytorch-image-models) has the network of the paper as
``mobilenetv1_100``, and 1.25 times as wide as ``mobilenetv1_125``, both trained with ReLU6 and on
images of mean and deviation 127.5. ``mobilenetv1_100h`` has another first convolution and
classifier; what it shares with the network here has the same names.
"""

import re
from typing import Any

from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError

_IN_BLOCKS = {
    'conv_dw': 'depthwise_conv.conv',
    'bn1': 'depthwise_conv.bn',
    'conv_pw': 'pointwise_conv.conv',
    'bn2': 'pointwise_conv.bn',
}


def timm_name(key: str) -> str | None:
    """Our name of a weight of timm's ``mobilenetv1``; ``None`` for the classifier's."""
    if key.startswith('conv_stem.'):
        return key.replace('conv_stem', 'stage1.0.conv', 1)
    if key.startswith('bn1.'):
        return key.replace('bn1', 'stage1.0.bn', 1)
    found = re.fullmatch(r'blocks\.(\d+)\.(\d+)\.(conv_dw|bn1|conv_pw|bn2)\.(.+)', key)
    if found is None:
        return None
    stage, block = int(found[1]), int(found[2])
    # The first convolution is the first module of stage 1.
    return f'stage{stage + 1}.{block + (stage == 0)}.{_IN_BLOCKS[found[3]]}.{found[4]}'


def rename_timm(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Rename, in place, the weights of a checkpoint that has timm's names; a pre-hook of loading.

    Raises:
        CompressionError: a weight has another shape here. mmengine would only warn and leave it
            at random.
    """
    if f'{prefix}conv_stem.weight' not in state_dict:
        return
    own = module.state_dict()
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name = timm_name(key[len(prefix) :])
        value = state_dict.pop(key)
        if name is None or name.split('.')[0] not in module.stage_names:
            continue
        if name in own and own[name].shape != value.shape:
            raise CompressionError(
                f'model.backbone.init_cfg: the {key} of this checkpoint of timm has the shape '
                f'{tuple(value.shape)}, MobileNetV1 here {tuple(own[name].shape)}. Give '
                'model.backbone.width_mult what belongs to it: 1.0 for mobilenetv1_100, 1.25 for '
                'mobilenetv1_125.'
            )
        state_dict[prefix + name] = value
