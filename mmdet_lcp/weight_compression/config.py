"""The `weight_compression` config: every key, its default and its range."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet_lcp.codec import PackSettings
from mmdet_lcp.config.keys import build, check_keys, parse, section
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import METHODS
from mmdet_lcp.weight_compression.stage import TransformMethod

KEY = 'weight_compression'
MOMENTS = ('transformed', 'trained')


@dataclass
class WeightCompressionConfig:
    """How a detector's weights are compressed.

    Attributes:
        methods: methods by names of the user's own, run in this order; ``None`` in place of one
            leaves it out, which a config needs to inherit only some.
        pack: how the result is packed; see `PackSettings`.
        evaluate: when mAP is measured on the validation set beside the beginning and the end:
            after each stage's change of weights, ``'transformed'``, and after its training,
            ``'trained'``.
        name: the name that reports show; ``None`` takes the methods'.
    """

    methods: dict[str, TransformMethod]
    pack: PackSettings = field(default_factory=PackSettings)
    evaluate: Sequence[str] = ('trained',)
    name: str | None = None

    @property
    def title(self) -> str:
        """The name for reports."""
        return self.name or ', '.join(type(m).__name__ for m in self.methods.values())

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'WeightCompressionConfig':
        """Read and check the `weight_compression` key of a whole config.

        Raises:
            CompressionError: the key is missing or misspelt, or something in it is.
        """
        given = section(cfg, KEY, 'WeightCompressionRunner', 'weight_compression')
        if not isinstance(given, Mapping):
            raise CompressionError(f'{KEY} must be a dict, not {type(given).__name__}')
        given = dict(given)
        check_keys(given, [f.name for f in dataclasses.fields(cls)], KEY)
        methods = given.get('methods')
        if not isinstance(methods, Mapping):
            raise CompressionError(
                f'{KEY}.methods must be a dict of methods by name, such as dict(low_bit=dict(type='
                "'mmdet_lcp.LowBitWeights', bits=1))"
            )
        built = {}
        for name, method in methods.items():
            if method is not None and name != '_delete_':
                where = f'{KEY}.methods.{name}'
                built[name] = build(METHODS, method, where)
                built[name].check(where)
        if not built:
            raise CompressionError(f'{KEY}.methods has no method left: nothing would be done')
        given['methods'] = built
        if 'pack' in given:
            try:
                given['pack'] = parse(PackSettings, given['pack'], f'{KEY}.pack')
            except CompressionError as error:
                raise CompressionError(_under(f'{KEY}.pack', str(error))) from error
        config = cls(**given)
        evaluate = config.evaluate
        if not isinstance(evaluate, (list, tuple)) or not set(evaluate) <= set(MOMENTS):
            raise CompressionError(
                f"{KEY}.evaluate={evaluate!r} must be a list; only 'transformed' and 'trained' "
                'can be listed'
            )
        return config


def _under(where: str, message: str) -> str:
    """Name the key in a message that knows the attribute only."""
    return message if message.startswith(where) else f'{where}.{message}'
