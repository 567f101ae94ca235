"""Tables that tools write into pages, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

from pathlib import Path


def replace(page: Path, name: str, table: str) -> None:
    """Put a table between its marks.

    Raises:
        ValueError: the page does not have the marks once, in this order.
    """
    begin, end = (f'<!-- {name}: {word} -->' for word in ('begin', 'end'))
    text = page.read_text(encoding='utf-8')
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f'{page}: {begin} ... {end} must be there once')
    before, _, rest = text.partition(begin)
    page.write_text(f'{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}', encoding='utf-8')
