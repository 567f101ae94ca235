"""For the build of mmcv on Python 3.13 and later: ``exec`` in a function sets its locals again.

mmcv 2.1.0's setup.py reads its version so: ``exec(...)``, then ``locals()['__version__']``. Since
Python 3.13 each call of ``locals()`` in a function gives a new dictionary (PEP 667), so that the
second lacks what the first was given: ``KeyError: '__version__'``. `tools/dev/setup_env.py` puts
this folder on the build's PYTHONPATH, and Python imports a module of this name when it starts; the
source package stays as it is.
"""

import builtins
import sys

_exec = builtins.exec


def exec_into_locals(source, globals=None, locals=None, /, **options):
    """``exec``, whose assignments the caller's next ``locals()`` has, where it names no scope."""
    if globals is None:
        frame = sys._getframe(1)
        globals, locals = frame.f_globals, frame.f_locals  # the latter writes through
    _exec(source, globals, locals, **options)


builtins.exec = exec_into_locals
