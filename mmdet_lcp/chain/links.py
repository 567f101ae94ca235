"""The `chain` config: which runners come one behind the other, and what each reads and leaves."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmdet_lcp.config.keys import check_keys
from mmdet_lcp.config.top_level import RUNNER_KEYS
from mmdet_lcp.distillation.config import KEY as MIMIC
from mmdet_lcp.distillation.config import read_mimic_of
from mmdet_lcp.distillation.finish import STUDENT_CONFIG, STUDENT_WEIGHTS
from mmdet_lcp.distillation.runner import MimicRunner
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import nearest_hint
from mmdet_lcp.pruning.config import KEY as PRUNING
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.delivery import PRUNED_CONFIG, PRUNED_WEIGHTS
from mmdet_lcp.pruning.runner import PruningRunner
from mmdet_lcp.registry import SCOPE
from mmdet_lcp.weight_compression import finish
from mmdet_lcp.weight_compression.config import KEY as WEIGHT_COMPRESSION
from mmdet_lcp.weight_compression.config import WeightCompressionConfig
from mmdet_lcp.weight_compression.runner import WeightCompressionRunner

KEY = 'chain'


@dataclass(frozen=True)
class Kind:
    """A runner that can be a link.

    Attributes:
        runner: its class.
        key: what it reads of the config.
        check: reads that key; raises a CompressionError for what is wrong.
        config: the file that it hands out the detector's config in.
        weights: the checkpoint that it hands out.
        packed: the packed file that it hands out, if it does.
        compares_with_start: whether its report compares with what it began with; that of mimic
            compares with the teacher.
    """

    runner: type
    key: str
    check: Callable[[Mapping[str, Any]], Any]
    config: str
    weights: str
    packed: str | None = None
    compares_with_start: bool = True


KINDS = {
    kind.runner.__name__: kind
    for kind in (
        Kind(PruningRunner, PRUNING, PruningConfig.from_cfg, PRUNED_CONFIG, PRUNED_WEIGHTS),
        Kind(
            WeightCompressionRunner,
            WEIGHT_COMPRESSION,
            WeightCompressionConfig.from_cfg,
            finish.CONFIG,
            finish.WEIGHTS,
            finish.PACKED,
        ),
        Kind(
            MimicRunner,
            MIMIC,
            read_mimic_of,
            STUDENT_CONFIG,
            STUDENT_WEIGHTS,
            compares_with_start=False,
        ),
    )
}


@dataclass
class Link:
    """One runner of a chain.

    Attributes:
        number: counted from 1.
        kind: which runner.
        key: the config's key that it reads instead of its own.
        changes: of the config, for this link alone; by dotted key or nested.
    """

    number: int
    kind: Kind
    key: str
    changes: dict[str, Any]

    @property
    def name(self) -> str:
        """Folder of the link, and its name in the report."""
        return f'{self.number}_{self.key}'


def read_chain(cfg: Mapping[str, Any]) -> list[Link]:
    """Read and check the `chain` key of a whole config.

    Raises:
        CompressionError: it is missing, or names something that can be no link.
    """
    given = cfg.get(KEY)
    if not isinstance(given, (list, tuple)) or not given:
        raise CompressionError(
            f'the config needs `{KEY}`, a list of runners such as '
            f"['{SCOPE}.PruningRunner', '{SCOPE}.WeightCompressionRunner']; it has {given!r}"
        )
    links: list[Link] = []
    for number, item in enumerate(given):
        where = f'{KEY}[{number}]'
        item = dict(item) if isinstance(item, Mapping) else {'type': item}
        item.pop('_scope_', None)  # mmengine adds it to what comes from another package's config
        check_keys(item, ['type', 'key', 'cfg'], where)
        name = str(item.get('type')).removeprefix(f'{SCOPE}.')
        if name not in KINDS:
            near = nearest_hint(name, KINDS, f"; the nearest is '{SCOPE}.{{}}'")
            raise CompressionError(
                f'{where}: {item.get("type")!r} can be no link of a chain{near}. '
                f'Links: {", ".join(KINDS)}'
            )
        changes = item.get('cfg') or {}
        if not isinstance(changes, Mapping):
            raise CompressionError(f'{where}.cfg={changes!r} must be a dict of changes')
        key = KINDS[name].key if item.get('key') is None else item['key']
        if not isinstance(key, str) or key in (KEY, *RUNNER_KEYS):
            raise CompressionError(
                f'{where}.key={key!r} must name a key of the config that holds the settings of '
                f"this link and nothing else, such as '{KINDS[name].key}_{number + 1}'"
            )
        if any(link.key == key for link in links):
            raise CompressionError(
                f'{where} reads the key `{key}`, as a link before it does: give it one of its '
                f"own, dict(type='{SCOPE}.{name}', key='{key}_{number + 1}'), and put its "
                'settings there'
            )
        links.append(Link(number + 1, KINDS[name], key, dict(changes)))
    return links


@contextlib.contextmanager
def named(link: Link) -> Iterator[None]:
    """Name the key that was read instead of the runner's own, in its messages."""
    try:
        yield
    except CompressionError as error:
        if link.key == link.kind.key:
            raise
        raise CompressionError(f'{link.key}, read as {link.kind.key}: {error}') from error
