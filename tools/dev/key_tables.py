#!/usr/bin/env python
"""Write the tables of keys in the READMEs of configs/: meanings from docstrings, values from code.

python tools/dev/key_tables.py            # writes what is out of date
python tools/dev/key_tables.py --check    # only names it, and fails

A table stands between `<!-- keys: NAME -->` and `<!-- end of keys -->`; `TABLES` says what is in
it. A column for each fragment shows what a config that inherits it gets: the fragment's own
value, or the default of the class that reads the key.
"""

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_lcp.codec.settings import PackSettings
from mmdet_lcp.distillation.config import MimicConfig, TapConfig, TeacherConfig
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.pruning.config import PruningConfig, RetrainConfig
from mmdet_lcp.pruning.distill import DistillConfig
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.registry import ATTACHMENTS, CRITERIA, SCOPE, UPDATES
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.positions import Positions
from mmdet_lcp.weight_compression.binary_networks import BinaryNet, XNORNet
from mmdet_lcp.weight_compression.config import WeightCompressionConfig
from mmdet_lcp.weight_compression.connection_pruning import ConnectionPruning
from mmdet_lcp.weight_compression.low_bit_weights import LowBitWeights
from mmdet_lcp.weight_compression.weight_sharing import WeightSharing

CONFIGS = Path(__file__).parents[2] / 'configs'
BEGIN, END = '<!-- keys: {} -->', '<!-- end of keys -->'
NOT_READ = '–'  # a fragment's column where the key belongs to something that it does not use
REQUIRED = 'required'

INNER = {
    PruningConfig: {
        'target': Target,
        'objective': Objective,
        'selection': SelectionConfig,
        'distill': DistillConfig,
        'finetune': PhaseConfig,
        'retrain': RetrainConfig,
    },
    SelectionConfig: {'positions': Positions},
    MimicConfig: {'teacher': TeacherConfig, 'taps': TapConfig},
    WeightCompressionConfig: {'pack': PackSettings},
}
COMPONENTS = {'criterion': CRITERIA, 'update': UPDATES, 'attachment': ATTACHMENTS}
Row = tuple[str, list[str], str]


def meanings(kind: type) -> dict[str, str]:
    """What a class's docstring, and those of its bases, say of each key."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        section = re.search(
            r'^(?:Args|Attributes):\n((?:(?: .*)?\n)*)', f'{inspect.getdoc(base)}\n', re.M
        )
        for item in re.finditer(
            r'^    (\w+): (.*(?:\n     .*)*)', section[1] if section else '', re.M
        ):
            text = ' '.join(item[2].split()).replace('``', '`')
            found[item[1]] = re.sub(r' \(`[A-Z]+`\)|(?<!\.)\.$', '', text)
    return found


def defaults(kind: type) -> dict[str, Any]:
    """The keys that a class reads, and their defaults."""
    if dataclasses.is_dataclass(kind):
        return {
            item.name: item.default
            if item.default_factory is dataclasses.MISSING
            else item.default_factory()
            for item in dataclasses.fields(kind)
            if item.init
        }
    return {key: item.default for key, item in inspect.signature(kind).parameters.items()}


def shown(value: Any) -> str:
    """A value as it is written in a config, in a cell."""
    if value in (dataclasses.MISSING, inspect.Parameter.empty):
        return REQUIRED
    return f'`{_source(value)}`'.replace('|', r'\|')


def _source(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return 'dict()'
    if isinstance(value, Mapping):
        return 'dict({})'.format(', '.join(f'{key}={_source(v)}' for key, v in value.items()))
    if isinstance(value, (list, tuple)):
        items = ', '.join(map(_source, value))
        if isinstance(value, list):
            return f'[{items}]'
        return f'({items},)' if len(value) == 1 else f'({items})'
    if isinstance(value, str) and '\\' in value and "'" not in value:
        return f"r'{value}'"
    return repr(value)


def rows(kind: type, given: list[Mapping | None], prefix: str = '') -> Iterable[Row]:
    """The rows of a class.

    Args:
        kind: it reads the keys.
        given: what each fragment says of them; ``None`` where it uses another class.
        prefix: of the keys.

    Raises:
        KeyError: the docstring says nothing of a key.
    """
    told, known = meanings(kind), defaults(kind)
    order = [key for key in told if key in known]
    for key in dict.fromkeys([*order, *known]):
        default = known[key]
        values = [None if g is None else g.get(key, default) for g in given]
        inner = INNER.get(kind, {}).get(key)
        if key in COMPONENTS and kind is PruningConfig:
            yield from component_rows(key, values, told[key])
            continue
        if inner in (None, Target, TeacherConfig, TapConfig):
            pairs = zip(given, values, strict=True)
            cells = [NOT_READ if own is None else shown(value) for own, value in pairs]
        else:
            cells = [''] * len(given)  # the values stand with its keys
        yield f'{prefix}{key}', cells, told[key]
        if inner is not None:
            own = [v if isinstance(v, Mapping) else {} for v in values]
            yield from rows(inner, own, f'{prefix}{key}.')


def component_rows(key: str, given: list[Mapping | None], meaning: str) -> Iterable[Row]:
    """The rows of a component, whose class a fragment names: first its type, then its keys."""
    types = [None if g is None else g['type'] for g in given]
    yield f'{key}.type', [shown(name) for name in types], meaning
    for name in dict.fromkeys(filter(None, types)):
        short = name.removeprefix(f'{SCOPE}.')
        own = [g if n == name else None for g, n in zip(given, types, strict=True)]
        for path, cells, text in rows(COMPONENTS[key].get(short), own, f'{key}.'):
            yield path, cells, f'`{short}`: {text}'


def fragment(name: str) -> dict[str, Any]:
    """A fragment of configs/_base_/, as plain data."""
    return Config.fromfile(CONFIGS / '_base_' / f'{name}.py').to_dict()


def table(columns: list[str], found: Iterable[Row]) -> str:
    """Rows as a table in Markdown."""
    lines = [f'| key | {" | ".join(columns)} | meaning |', '|---' * (len(columns) + 2) + '|']
    lines += [
        f'| `{key}` | {" | ".join(cells)} | {text.replace("|", chr(92) + "|")} |'
        for key, cells, text in found
    ]
    return '\n'.join(lines)


def pruning_table(names: list[str], components_alone: bool = False) -> str:
    """`pruning` with a column for each fragment."""
    given = [fragment(f'pruning/{name}')['pruning'] for name in names]
    found = rows(PruningConfig, given)
    if components_alone:
        kept = (*COMPONENTS, 'objective')
        found = [row for row in found if row[0].partition('.')[0] in kept]
    return table([f'`{name}`' for name in names], found)


def method_table(kinds: Mapping[str, type], key: str | None = None) -> str:
    """Methods of `weight_compression`, with a column for the fragment of each.

    Args:
        kinds: the class of a fragment's method, by the fragment's name.
        key: the method's name in the fragment; ``None`` takes the only one.
    """
    given = []
    for name in kinds:
        methods = fragment(f'weight_compression/{name}')['weight_compression']['methods']
        given.append(methods[key] if key else next(iter(methods.values())))
    found: dict[str, Row] = {}
    for kind in kinds.values():
        own = [
            g if issubclass(other, kind) else None
            for other, g in zip(kinds.values(), given, strict=True)
        ]
        for path, cells, text in rows(kind, own):
            old = found.get(path, (path, [NOT_READ] * len(cells), text))[1]
            merged = [a if b == NOT_READ else b for a, b in zip(old, cells, strict=True)]
            found[path] = (path, merged, text)
    return table([f'`{name}`' for name in kinds], found.values())


def mimic_table() -> str:
    """`mimic`."""
    return table(['`mimic`'], rows(MimicConfig, [fragment('distill/mimic')['mimic']]))


def weight_compression_table() -> str:
    """`weight_compression` without what is a method's."""
    given = {'methods': dataclasses.MISSING}
    own = fragment('weight_compression/deep_compression')['weight_compression']
    return table(['`deep_compression`'], rows(WeightCompressionConfig, [{**own, **given}]))


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    'lcp/README.md': {'pruning': lambda: pruning_table(['lcp_exact', 'lcp'])},
    'dcp/README.md': {'pruning': lambda: pruning_table(['dcp'], components_alone=True)},
    'mimic/README.md': {'mimic': mimic_table},
    'bdnn/README.md': {
        'methods': lambda: method_table(
            {'low_bit': LowBitWeights, 'binary_net': BinaryNet, 'xnor_net': XNORNet}
        )
    },
    'deep_compression/README.md': {
        'weight_compression': weight_compression_table,
        'ConnectionPruning': lambda: method_table({'connection_pruning': ConnectionPruning}),
        'WeightSharing': lambda: method_table({'weight_sharing': WeightSharing}),
    },
}


def filled(page: str, text: str) -> str:
    """A page's text with its tables as they should be.

    Raises:
        ValueError: the place of one is missing, or there twice.
    """
    for name, make in TABLES[page].items():
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, end, behind = rest.partition(END)
        if not end or begin in behind:
            raise ValueError(f'{page}: {begin} ... {END} must be there once')
        text = f'{before}{begin}\n\n{make()}\n\n{end}{behind}'
    return text


def main(check: bool) -> None:
    """Write all pages, or name those that are out of date."""
    stale = []
    for page in TABLES:
        path = CONFIGS / page
        text = path.read_text(encoding='utf-8')
        fresh = filled(page, text)
        if fresh != text:
            stale.append(page)
            if not check:
                path.write_text(fresh, encoding='utf-8')
    if check and stale:
        sys.exit(f'out of date: {", ".join(stale)}; run tools/dev/key_tables.py')
    print('written: ' + ', '.join(stale) if stale else 'all tables are up to date')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='write nothing')
    main(parser.parse_args().check)
