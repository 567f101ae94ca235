"""Sphinx's settings of the documentation site; `tools/dev/build_site.py` runs it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

project = 'mmdet_lcp'
author = 'the authors of mmdet_lcp'
release = re.search(r"'(.+)'", (ROOT / 'mmdet_lcp' / 'version.py').read_text())[1]
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']
html_theme = 'furo'
html_title = f'mmdet_lcp {release}'
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False
html_static_path = ['.']
html_css_files = ['site.css']
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}
# Headings are named in links as in the repository.
myst_heading_anchors = 5
myst_enable_extensions = ['colon_fence']
myst_links_external_new_tab = True
copybutton_exclude = '.linenos, .gp, .go'
# Docstrings are Google's: shapes and units stand under Args and Attributes.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
autodoc_class_signature = 'mixed'
autodoc_default_options = {'members': True, 'show-inheritance': False}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 79
suppress_warnings = ['config.cache']
default_role = 'code'  # what stands in single backticks in a docstring


def _as_written(app, what, name, obj, options, lines) -> None:
    """Bars in docstrings mean absolute values, not substitutions."""
    lines[:] = [line.replace('|', r'\|') for line in lines]


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect('autodoc-process-docstring', _as_written)
