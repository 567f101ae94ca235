"""What exporting came to: which files there are, how large, what each was compared with."""

from dataclasses import dataclass, field
from pathlib import Path

from mmdet_lcp.report.tables import format_bytes


@dataclass
class Written:
    """A file that was written.

    Attributes:
        what: its form and engine.
        size: in bytes, of all files that the engine needs.
        int8: whether it is in eight bits.
    """

    what: str
    size: int
    int8: bool = False


@dataclass
class Outcome:
    """Of one call; `str` of it is for the terminal.

    Attributes:
        weights: bytes of the detector's own weights.
        dense: the same before it was pruned, or None.
        files: what was written, in order.
        compared: a sentence each.
        next: what to type next.
    """

    weights: int
    dense: int | None = None
    files: dict[Path, Written] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)
    next: str = ''

    @property
    def last(self) -> Path:
        """The file that was written last."""
        return list(self.files)[-1]

    def add(self, path: Path, what: str, int8: bool = False) -> None:
        """A file that was written; weights that lie beside it (``.bin``) count to it."""
        beside = path.with_suffix('.bin')
        parts = [path, beside] if path.suffix in ('.xml', '.param') else [path]
        size = sum(part.stat().st_size for part in parts if part.is_file())
        self.files[path] = Written(what, size, int8)

    def __str__(self) -> str:
        width = max(len(str(path)) for path in self.files)
        lines = ['', 'written']
        lines += [
            f'  {path!s:{width}}  {format_bytes(file.size):>8}  {file.what}'
            for path, file in self.files.items()
        ]
        sizes = [] if self.dense is None else [('dense, float32', self.dense)]
        name = 'weights, float32' if self.dense is None else 'pruned, float32'
        sizes.append((name, self.weights))
        sizes += [(path.name, file.size) for path, file in self.files.items()]
        lines.append('sizes (weights alone, then whole files)')
        lines.append('  ' + ' -> '.join(f'{name} {format_bytes(size)}' for name, size in sizes))
        lines += ['compared', *(f'  {line}' for line in self.compared), 'next', f'  {self.next}']
        return '\n'.join(lines)
