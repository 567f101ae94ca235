"""Messages of a Python call: they name its arguments, where those of a run name config keys."""

import functools
import re
from collections.abc import Callable
from typing import Any

from mmdet.models.detectors import BaseDetector

from mmdet_lcp.errors import CompressionError

# In this order: what a run has and a call has not, then its keys.
_REWRITTEN = (
    ('; to take one back that a base config gives, set it to None', ''),
    (
        r'One of your own is registered when the config imports its module: custom_imports = '
        r"dict\(imports=\['my_module'\]\)",
        'One of your own is given as an object, or by name after its module was imported',
    ),
    (
        r'The training has diverged: lower pruning\.finetune\.lr, or check the data for broken '
        r'boxes\.',
        'Look for nan and inf in weights and images.',
    ),
    (
        r"is a checkpoint of another architecture than the config's `model` \((.*?)\)",
        r'has the weights of another network than the \1 pruned by the plan',
    ),
    (
        r'\nGive `load_from` a checkpoint that was trained with this `model`\.',
        '\nGive load() the dense network that was pruned.',
    ),
    (
        r'Is load_from a detector that was trained to its end, with the data_preprocessor of this '
        r"config\? Evaluate it with mmdet's test\.py",
        'Is the network trained to its end, and are the images preprocessed as in its training?',
    ),
    (r'pruning\.layers and pruning\.stages', 'layers'),
    (r'(?<![\w.])pruning\.(criterion|update)\.type\b', r'\1'),
    (r'(?<![\w.])(criterion|update)\.type\b', r'\1'),
    (r'`?(?<![\w.])pruning\.([a-z_]+)\b`?', r'\1'),
)
_DETECTOR = (
    (r'\b([Tt]he (?:(?:dense|pruned|original) )?)detector\b', r'\1network'),
    (r"(?<=Its )forward\(mode='tensor'\)", 'forward'),
)


def in_call_words(text: str, network: Any = None) -> str:
    """A message in the words of a Python call.

    Args:
        text: in those of a config.
        network: that the call is about; one that is no detector is not called so.
    """
    for pattern, words in _REWRITTEN:
        text = re.sub(pattern, words, text)
    if not isinstance(network, BaseDetector):
        for pattern, words in _DETECTOR:
            text = re.sub(pattern, words, text)
    return text


def in_its_words(call: Callable) -> Callable:
    """Decorate a call whose first argument is the network: its errors speak `in_call_words`."""

    @functools.wraps(call)
    def speaking(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except CompressionError as error:
            network = next(iter((*args, *kwargs.values())), None)
            error.args = (in_call_words(str(error), network),)
            raise

    return speaking
