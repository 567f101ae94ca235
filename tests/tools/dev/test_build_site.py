"""The documentation site: links as they are on it, and the whole of it without a warning."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOL = ROOT / 'tools' / 'dev' / 'build_site.py'


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


KNOWN = {
    'index.md': 'README.md',
    'methods/lcp.md': 'configs/lcp/README.md',
    'results/pruning.md': 'configs/lcp/results/README.md',
    'prune/ssd.md': 'docs/prune/ssd.md',
    'export.md': 'docs/export.md',
}


@pytest.mark.parametrize(
    ('page', 'text', 'on_the_site'),
    [
        ('index.md', '[lcp](configs/lcp/README.md#keys)', '[lcp](methods/lcp.md#keys)'),
        ('methods/lcp.md', '[r](results/README.md)', '[r](../results/pruning.md)'),
        ('prune/ssd.md', '[e](../export.md#x)', '[e](../export.md#x)'),
        ('prune/ssd.md', '[top](#top)', '[top](#top)'),
        ('methods/lcp.md', '[demo](demo.py)', '`demo`'),
        ('methods/lcp.md', '[the demo of it](demo.py)', 'the demo of it'),
        ('index.md', '[a](https://a.org/b)', '[a](https://a.org/b)'),
        ('results/pruning.md', '![m](map.png)', '![m](../files/configs/lcp/results/map.png)'),
        ('index.md', '```\n[a](docs/export.md)\n```', '```\n[a](docs/export.md)\n```'),
    ],
)
def test_links(tool, page, text, on_the_site):
    assert tool['site_links'](text, page, KNOWN) == on_the_site


def test_every_page_of_the_repository_is_in_the_contents(tool):
    listed = [page for part in tool['CONTENTS'].values() for page in part]
    assert len(listed) == len(set(listed))
    assert {f'{page}.md' for page in listed} | {'index.md'} == set(tool['pages']())


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip('sphinx')
    done = subprocess.run(
        [sys.executable, str(TOOL), '--out', str(tmp_path / 'site')],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {path.relative_to(tmp_path / 'site') for path in tmp_path.rglob('*.html')}
    assert Path('index.html') in pages
    for path in pages:  # nothing is fetched when a page is opened
        text = (tmp_path / 'site' / path).read_text()
        assert not re.findall(r'<(?:script|img)[^>]+src="(?:https?:)?//', text), path
        assert not re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', text), path
