"""`--cfg-options KEY=VALUE` as mmdet's tools take it; what mmengine stops on is told in a line."""

import argparse
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

_IN_A_FILE = (
    'mmengine takes numbers, words and lists of them here; give single keys '
    '(pruning.target.macs=0.5), or write it into a config that inherits this one'
)


class CfgOptions(DictAction):
    """mmengine's `DictAction` for argparse.

    Of a value with a comma inside brackets that do not enclose all of it, such as
    ``[dict(type='A', b=1)]``, mmengine 0.10.7 takes the same part again and again; a dict it keeps
    as the word that was given. Both are refused here, and so are a missing ``=`` and brackets
    without their pair.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add KEY=VALUE pairs to what was given before; ends the command where one is wrong."""
        for pair in values or ():
            key, equals, value = pair.partition('=')
            if not equals or not key:
                parser.error(f'{option_string} {pair}: give KEY=VALUE')
            if value.strip('\'" ').startswith(('{', 'dict(')):
                parser.error(f'{option_string} {key}: a dict cannot be given. {_IN_A_FILE}')
            try:
                super().__call__(parser, namespace, [pair], option_string)
            except (RecursionError, AssertionError):
                parser.error(f'{option_string} {pair}: cannot be read. {_IN_A_FILE}')
