"""The pages that users read: every link between them leads somewhere."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ('*.md', 'configs/**/*.md', 'docs/*.md', 'benchmarks/*.md')
    for page in ROOT.glob(pattern)
)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r'^```.*?^```$', '', page.read_text(encoding='utf-8'), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What headings are called in links, as GitHub makes them: equal ones are numbered."""
    found: set[str] = set()
    for heading in re.findall(r'^#+ (.+)$', prose(page), flags=re.M):
        heading = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading)
        kept = [c for c in heading.lower() if c in ' -_' or unicodedata.category(c)[0] in 'LMN']
        name = slug = ''.join(kept).replace(' ', '-')
        number = 0
        while slug in found:
            number += 1
            slug = f'{name}-{number}'
        found.add(slug)
    return found


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
        if target.startswith(('http://', 'https://')):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def test_anchors(tmp_path):
    """Checked by hand against what GitHub makes of these headings."""
    page = tmp_path / 'page.md'
    page.write_text('# `S_k`: what *it* is\n## Twice\n```\n# code\n```\n## Twice\n## Größe, 0.5\n')
    assert anchors(page) == {'s_k-what-it-is', 'twice', 'twice-1', 'größe-05'}
