"""Methods: what a fragment of configs/_base_/pruning/ says of how channels are chosen."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.utils import import_modules_from_strings

from mmdet_lcp.comparison.imports import imported_modules
from mmdet_lcp.comparison.peers.packages import NAMES
from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import nearest_hint
from mmdet_lcp.pruning.config import KEY
from mmdet_lcp.registry import SCOPE
from mmdet_lcp.shipped import shipped

# What makes a method; everything else (layers, ratio, training, ...) is the comparison's.
OWN_KEYS = ('criterion', 'update', 'attachment', 'objective', 'method')
# Of `selection`, what is a method's too.
POSITIONS = 'selection.positions'
RUNNER = f'{SCOPE}.PruningRunner'
UPDATES = {
    'exact': ('mmdet_lcp.ExactUpdate', 'exact update'),
    'none': ('mmdet_lcp.NoUpdate', 'no update'),
    'sgd': ('mmdet_lcp.SGDUpdate', 'update by SGD'),
}


# Other packages' own pruners by name: the package's module, how it scores, and what it is.
PEERS = {
    f'{module}_{importance}': (module, importance, f"{NAMES[module]}'s own pruner, {words}")
    for module, importance, words in (
        ('torch_pruning', 'taylor', 'all channels ranked together by its Taylor importance.'),
        (
            'torch_pruning',
            'group_norm',
            'all channels ranked together by the norms of its groups.',
        ),
        ('torch_kirigami', 'taylor', 'greedy, by weight times gradient; minutes.'),
        ('torch_kirigami', 'group_magnitude', "greedy, by a channel's weights; minutes."),
    )
}


@dataclass(frozen=True)
class Method:
    """One way of choosing channels.

    Attributes:
        name: as it was asked for, without folder: ``'lcp'``, ``'lcp+exact'``.
        parts: the keys of `OWN_KEYS` that the fragment gives.
        positions: the fragment's `selection.positions`, if it has any.
        imports: modules that the fragment imports, which a criterion of one's own is in.
        runner: type of the runner that prunes with it.
    """

    name: str
    parts: dict[str, Any]
    positions: dict[str, Any] | None = None
    imports: Sequence[str] = ()
    runner: str = RUNNER

    @property
    def update(self) -> str:
        """The update's type, without the package."""
        return self.parts['update']['type'].rpartition('.')[2]

    @property
    def is_peer(self) -> bool:
        """Whether another package's pruner chooses."""
        return self.runner != RUNNER

    @property
    def trains_along(self) -> bool:
        """Whether something has to be trained before each group."""
        return self.parts.get('attachment') is not None

    def apply(self, pruning: dict[str, Any]) -> dict[str, Any]:
        """A `pruning` config with this method in place of its own; the input stays as it is."""
        own = {**without_method(pruning), **self.parts}
        if self.positions is not None:
            own['selection'] = {**own.get('selection', {}), 'positions': self.positions}
        return own


def without_method(pruning: dict[str, Any]) -> dict[str, Any]:
    """A copy of a `pruning` config without what makes its method."""
    rest = {key: value for key, value in pruning.items() if key not in OWN_KEYS}
    if isinstance(rest.get('selection'), dict):
        rest['selection'] = {k: v for k, v in rest['selection'].items() if k != 'positions'}
    return rest


def fragments_folder() -> Path:
    """Where the package's own fragments lie, installed or not."""
    return shipped('configs') / '_base_' / 'pruning'


def list_methods() -> dict[str, str]:
    """Name -> one line of description, of every fragment that is a method of its own.

    A fragment that only lays out another's training (`lcp_vgg16.py`) is left out.
    """
    found: dict[str, str] = {}
    seen: list[dict[str, Any]] = []
    for path, method in _shipped_methods():
        parts = {**method.parts, 'positions': method.positions}
        if parts not in seen:
            seen.append(parts)
            found[path.stem] = _describe(path)
    return dict(sorted(found.items()))


def _shipped_methods() -> Iterator[tuple[Path, Method]]:
    """Every fragment of a method, the shortest name first; several may be one method."""
    for path in sorted(fragments_folder().glob('*.py'), key=lambda p: (len(p.stem), p.stem)):
        try:
            yield path, read_method(path, path.stem)
        except CompressionError:  # what several fragments share is no method
            continue


def has_known_method(pruning: dict[str, Any], others: Iterable[Method] = ()) -> bool:
    """Whether a `pruning` config's own method is that of a fragment, whatever its name.

    Args:
        pruning: the config.
        others: methods that count beside the package's fragments.
    """
    positions = (pruning.get('selection') or {}).get('positions')
    own = _of_a_method(pruning, positions)
    known = itertools.chain(others, (method for _, method in _shipped_methods()))
    return any(own == _of_a_method(method.parts, method.positions) for method in known)


def find_method(name: str, controls: Iterable[str] = ()) -> Method:
    """Find a method by ``NAME``, ``NAME+UPDATE`` or the path of a fragment (``+UPDATE``).

    Args:
        name: as above; UPDATE is one of `UPDATES`, or the name of another method, whose update
            and positions then go with this one's criterion.
        controls: further names that may have been meant, for the message.

    Raises:
        CompressionError: there is no such fragment or update, or it cannot be read.
    """
    if name in PEERS:
        return _peer(name)
    base, plus, update = name.partition('+')
    path = Path(base) if base.endswith('.py') else fragments_folder() / f'{base}.py'
    if not path.is_file():
        if base.endswith('.py'):
            raise CompressionError(f'{base}: there is no such fragment')
        known = [*list_methods(), *PEERS, *controls]
        near = nearest_hint(base, known)
        raise CompressionError(
            f'there is no method {base!r}{near}. Methods: {", ".join(known)}; or the path of '
            'a fragment (.py)'
        )
    method = read_method(path, path.stem + plus + update)
    return _with_update(method, update) if plus else method


def read_method(path: Path, name: str) -> Method:
    """Read a fragment.

    Raises:
        CompressionError: it is no pruning fragment.
    """
    cfg = read_config(str(path)).to_dict()
    pruning = cfg.get(KEY)
    if not isinstance(pruning, dict):
        raise CompressionError(f'{path} has no `{KEY}` key: it is no fragment of a method')
    for key in ('criterion', 'update'):
        if not isinstance(pruning.get(key), dict) or 'type' not in pruning[key]:
            raise CompressionError(f'{path}: {KEY}.{key} must be a dict with a `type`')
    parts = {key: pruning[key] for key in OWN_KEYS if key in pruning}
    positions = (pruning.get('selection') or {}).get('positions')
    return Method(name, parts, positions, imported_modules(cfg))


def _of_a_method(parts: Mapping[str, Any], positions: Any) -> dict[str, Any]:
    """What two methods are compared by: all but the name in tables; a key left out is `None`."""
    return {**{key: parts.get(key) for key in OWN_KEYS if key != 'method'}, 'positions': positions}


def _peer(name: str) -> Method:
    """Another package's own pruner, as a method: it chooses, and nothing is updated."""
    module, importance, _ = PEERS[name]
    parts = dict(
        criterion=dict(type=f'{SCOPE}.PeerChoice', peer=module, importance=importance),
        update=dict(type=UPDATES['none'][0]),
        method=f'{NAMES[module]}, {importance}',
    )
    imports = ['mmdet_lcp.comparison.peers.runner']
    import_modules_from_strings(imports)
    return Method(name, parts, imports=imports, runner=f'{SCOPE}.PeerPruningRunner')


def _with_update(method: Method, update: str) -> Method:
    """A method with one of `UPDATES`, or with the update of another method."""
    positions, imports = method.positions, method.imports
    if update in UPDATES:
        kind, words = UPDATES[update]
        config: dict[str, Any] = dict(type=kind)
    elif update in (methods := list_methods()):
        other = read_method(fragments_folder() / f'{update}.py', update)
        config, words = other.parts['update'], f'update of {other.parts.get("method") or update}'
        positions = other.positions
    else:
        known = [*UPDATES, *methods]
        near = nearest_hint(update, known)
        raise CompressionError(
            f'{method.name}: there is no update {update!r}{near}. Updates: {", ".join(known)}'
        )
    title = method.parts.get('method') or method.name.partition('+')[0]
    parts = {**method.parts, 'update': config, 'method': f'{title}, {words}'}
    return Method(method.name, parts, positions, imports)


def _describe(path: Path) -> str:
    """The first sentence of the comment that opens a fragment."""
    words = []
    for line in path.read_text(encoding='utf-8').splitlines():
        if not line.startswith('#'):
            break
        words.append(line.lstrip('# ').strip())
    text = ' '.join(words).strip()
    sentence, dot, _ = text.partition('. ')
    return sentence + dot.strip()
