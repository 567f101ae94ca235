"""Hypothesis draws the same examples in every run, and leaves nothing in the repository."""

import tempfile

from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(tempfile.mkdtemp(prefix='hypothesis-'))
settings.register_profile(
    'repeatable', deadline=None, derandomize=True, database=None, max_examples=50
)
settings.load_profile('repeatable')  # now: a test takes its settings when it is defined
