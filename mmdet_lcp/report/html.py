"""Pages of HTML that need nothing else: styles, script, charts and pictures are inside."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mmdet_lcp.files import write_text

_OWN = 'mmdet_lcp.report'
_KINDS = {'.jpg': 'jpeg', '.png': 'png'}


def write_page(path: str | os.PathLike, template: str, package: str = _OWN, **shown: Any) -> None:
    """Write a page, whole or not at all.

    Args:
        path: of the file.
        template: name of a file in the folder ``templates`` of a package.
        package: that package; what it extends may lie in this one.
        shown: what the template takes.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, _OWN))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(**shown))


def data_uri(picture: Path) -> str:
    """A picture as an address that holds the picture itself.

    Args:
        picture: a file, JPEG or PNG by its ending.
    """
    content = base64.b64encode(picture.read_bytes()).decode()
    return f'data:image/{_KINDS[picture.suffix]};base64,{content}'
