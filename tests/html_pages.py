"""What a browser would make of a page, as far as tests ask: elements, texts, addresses."""

from html.parser import HTMLParser
from pathlib import Path

VOID = {'meta', 'link', 'img', 'input', 'br'}


class Page(HTMLParser):
    """A page whose elements are all closed, in order.

    Attributes:
        tags: names of all elements, in order.
        text: what is read.
        addresses: all that is linked or loaded.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding='utf-8'))
        self.close()
        assert not self._open
        self.text = ' '.join(' '.join(self._texts).split())

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in ('src', 'href')]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data) -> None:
        if not {'style', 'script'} & set(self._open):
            self._texts.append(data)
