"""Write mmcv's operators into few files before they are compiled.

Each of mmcv's 77 files reads PyTorch's headers anew, which is most of its ten seconds. Here files
are included into units, which read them once: the code that is compiled stays as it is.

Standard library only: this runs before anything is installed.
"""

import re
from pathlib import Path

# by far the largest: beside the others it keeps a second core busy
ALONE = 'pybind.cpp'
UNIT = '/* Written by tools/dev/mmcv_units.py. */\n'
_DEFINED = re.compile(
    r'^(?:template\s*<[^>]*>\s*)?(?:static\s+|inline\s+|const\s+)*'
    r'(?:struct\s+(\w+)|[\w:<>]+[\s*&]+(\w+)\s*\()',
    re.M,
)
_MACRO = re.compile(r'^\s*#\s*define\s+(\w+)', re.M)


def write_units(source: Path) -> tuple[int, int]:
    """Replace the operators' files of an unpacked source package by units that include them.

    Files that define a function or a structure of one name are not put into one unit, and macros
    end with the file that defines them.

    Args:
        source: the folder with mmcv's ``setup.py``, which compiles every ``*.cpp`` it finds in
            two folders; the files keep their place and get the suffix ``.inc``.

    Returns:
        How many files there were to compile, and how many there are now.
    """
    folder = source / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    found = units = 0
    for part in (folder, folder / 'cpu'):
        files = sorted(path for path in part.glob('*.cpp') if path.name != ALONE)
        for number, members in enumerate(_apart(files)):
            (part / f'unit_{number}.cpp').write_text(UNIT + ''.join(map(_included, members)))
            units += 1
        found += len(files)
        for path in files:
            path.rename(path.with_suffix('.inc'))
    alone = (folder / ALONE).exists()
    return found + alone, units + alone


def _apart(files: list[Path]) -> list[list[Path]]:
    """Files in as few lists as the first place that fits gives, no name defined twice in one."""
    lists: list[list[Path]] = []
    defined = {path: _defined(path) for path in files}
    for path in files:
        fits = (
            members
            for members in lists
            if not any(defined[path] & defined[member] for member in members)
        )
        members = next(fits, None)
        if members is None:
            lists.append(members := [])
        members.append(path)
    return lists


def _defined(path: Path) -> set[str]:
    """Names of the functions with a body and of the structures at the left margin of a file."""
    text = path.read_text()
    names = set()
    for found in _DEFINED.finditer(text):
        if found[1]:
            names.add(found[1])
            continue
        ends = re.compile(r'[;{]').search(text, found.end())
        if ends and ends[0] == '{':
            names.add(found[2])
    return names


def _included(path: Path) -> str:
    """The lines that include a file and end its macros."""
    macros = dict.fromkeys(_MACRO.findall(path.read_text()))
    return f'#include "{path.with_suffix(".inc").name}"\n' + ''.join(
        f'#undef {macro}\n' for macro in macros
    )
