"""The page about latency shows the steps that the package has."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'step_tables.py'))


def test_the_page_is_up_to_date():
    text = (ROOT / 'docs' / 'targets.md').read_text(encoding='utf-8')
    assert TOOL['filled'](text) == text, 'run tools/dev/step_tables.py'
