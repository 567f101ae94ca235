"""The training that a method's config asks for."""

from typing import Any

from mmdet_lcp.config.keys import parse
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError


def training_of(given: Any, where: str) -> PhaseConfig:
    """The training that a method's config asks for, checked.

    Raises:
        CompressionError: it is missing, or something in it is wrong.
    """
    if given is None:
        raise CompressionError(f'{where} is missing: say how long is trained, e.g. max_epochs=4')
    config = given if isinstance(given, PhaseConfig) else parse(PhaseConfig, given, where)
    config.check(where)
    return config
