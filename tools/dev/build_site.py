"""Build the documentation site into `site/` with Sphinx: `make docs`. No network.

Sphinx with MyST reads the Markdown of the repository as it is. The pages lie in `docs/` and beside
what they describe (`configs/*/README.md`, `CHANGELOG.md`, ...): all are copied into one tree,
where a link to a page of the site leads there and one to another file becomes its name. Warnings
are errors.
"""

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Path(__file__).resolve().parent / 'site'
# Where a page that lies elsewhere in the repository stands on the site.
ELSEWHERE = {
    'README.md': 'index.md',
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
    'benchmarks/README.md': 'results/benchmarks.md',
    'findings/README.md': 'findings.md',
    'configs/README.md': 'methods/index.md',
    'configs/lcp/README.md': 'methods/lcp.md',
    'configs/lcp/results/README.md': 'results/pruning.md',
    'configs/dcp/README.md': 'methods/dcp.md',
    'configs/thinet/README.md': 'methods/thinet.md',
    'configs/group_fisher/README.md': 'methods/group_fisher.md',
    'configs/mimic/README.md': 'methods/mimic.md',
    'configs/bdnn/README.md': 'methods/low_bit.md',
    'configs/deep_compression/README.md': 'methods/deep_compression.md',
    'configs/ssd/README.md': 'detectors/ssd.md',
    'configs/faster_rcnn/README.md': 'detectors/faster_rcnn.md',
    'configs/zoo/README.md': 'detectors/zoo.md',
}
# The contents, in order: heading, and pages with their names there ('' for the page's own title).
CONTENTS = {
    'First steps': {'get_started': '', 'own_photos': 'From your photos to a device'},
    'Prune your own detector': {
        'prune/index': 'Overview',
        'prune/ssd': 'SSD',
        'prune/retinanet': 'RetinaNet, ATSS, FCOS',
        'prune/yolox': 'YOLOX',
        'prune/rtmdet': 'RTMDet',
        'prune/faster_rcnn': 'Faster and Mask R-CNN',
        'prune/detr': 'DETR family',
        'support': 'Which detectors',
        'support_criteria': 'Which criteria on which',
    },
    'Methods': {
        'methods/index': 'Choose a method',
        'methods/lcp': 'LCP, and all keys of pruning',
        'methods/dcp': 'DCP',
        'methods/thinet': 'ThiNet',
        'methods/group_fisher': 'Group Fisher',
        'targets': '',
        'methods/mimic': 'Mimic',
        'methods/low_bit': 'Low-bit weights',
        'methods/deep_compression': 'Deep Compression',
    },
    'To the device': {
        'export': 'Export',
        'device': 'On the device',
        'npu': '',
        'packed_file': 'The packed file',
    },
    'Run it': {'several_gpus': '', 'trouble': '', 'faults': '', 'platforms': ''},
    'Extend it': {
        'python': 'From Python',
        'own_method': 'A criterion or an update',
        'own_loss_term': 'A term of the loss',
        'own_layer': 'A kind of layer',
        'api': 'API reference',
    },
    'Results': {
        'results/pruning': 'Pruning',
        'results/benchmarks': 'Benchmarks',
        'detectors/ssd': 'SSDs to start with',
        'detectors/faster_rcnn': "Faster R-CNN's",
        'detectors/zoo': "Detectors of mmdet's zoo",
        'findings': 'What other tools do',
    },
    'About': {'glossary': '', 'changelog': '', 'contributing': 'Contribute'},
}
_ORIGIN = {page: origin for origin, page in ELSEWHERE.items()}
_LINK = re.compile(r'(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
_IMAGE = re.compile(r'!\[([^\]]*)\]\(([^)\s]+)\)')
_FENCE = re.compile(r'(^ *```.*?^ *```$)', re.M | re.S)


def pages() -> dict[str, str]:
    """The path in the repository of each page, by its path on the site."""
    own = {path.name: path for path in (ROOT / 'docs').glob('*.md')}
    own |= {f'prune/{path.name}': path for path in (ROOT / 'docs' / 'prune').glob('*.md')}
    return _ORIGIN | {page: str(path.relative_to(ROOT)) for page, path in own.items()}


def site_links(text: str, page: str, known: dict[str, str]) -> str:
    """The text of a page with its links as the site has them.

    Args:
        text: of the page; blocks of code are left as they are.
        page: its path on the site.
        known: of all pages, as `pages` gives them.
    """
    origin = known[page]
    places = {path: place for place, path in known.items()}

    def moved(target: str) -> str | None:
        """The target on the site; None for a file that is no page."""
        path, _, anchor = target.partition('#')
        if not path:
            return target
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if path not in places:
            return None
        way = posixpath.relpath(places[path], posixpath.dirname(page) or '.')
        return f'{way}#{anchor}' if anchor else way

    def link(found: re.Match) -> str:
        label, target = found[1], found[2]
        if '://' in target:
            return found[0]
        new = moved(target)
        if new is None:  # the name of a file
            return label if '`' in label or ' ' in label else f'`{label}`'
        return f'[{label}]({new})'

    def image(found: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[2]))
        way = posixpath.relpath(f'files/{path}', posixpath.dirname(page) or '.')
        return f'![{found[1]}]({way})'

    return ''.join(
        part if part.lstrip().startswith('```') else _IMAGE.sub(image, _LINK.sub(link, part))
        for part in _FENCE.split(text)
    )


def assemble(folder: Path) -> None:
    """Write Sphinx's source tree.

    Args:
        folder: is there, and empty.
    """
    known = pages()
    missing = {f'{page}.md' for part in CONTENTS.values() for page in part} - set(known)
    left = set(known) - {f'{page}.md' for part in CONTENTS.values() for page in part}
    if missing or left != {'index.md'}:
        sys.exit(f'CONTENTS: no such page {sorted(missing)}; not listed {sorted(left)}')
    for page, origin in known.items():
        text = (ROOT / origin).read_text(encoding='utf-8')
        for _, target in _IMAGE.findall(_FENCE.sub('', text)):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
            (folder / 'files' / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / 'files' / path)
        text = site_links(text, page, known)
        if page == 'index.md':
            text += contents()
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding='utf-8')


def contents() -> str:
    """The tables of contents, which the start page holds and the site shows at its side."""
    blocks = []
    for heading, part in CONTENTS.items():
        lines = [f'{name} <{page}>' if name else page for page, name in part.items()]
        blocks.append(
            '\n```{toctree}\n:hidden:\n:caption: '
            + heading
            + '\n\n'
            + '\n'.join(lines)
            + '\n```\n'
        )
    return ''.join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'site', help='folder of the pages')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        assemble(Path(temporary))
        command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html']
        command += ['-c', str(SETTINGS), temporary, str(args.out)]
        if code := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(code)
    print(f'{args.out}/index.html')


if __name__ == '__main__':
    main()
