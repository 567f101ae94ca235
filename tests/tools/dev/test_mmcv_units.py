"""mmcv's operators in few files: made files, compiled, beside each of them alone."""

import runpy
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    'pybind.cpp': 'int add_twice(int);\nint main() { return add_twice(1); }\n',
    'a.cpp': '#define STEP 1\nint helper(int x) { return x + STEP; }\n',
    'b.cpp': 'int helper(int x);\nint STEP = 1;\n'
    'int add_twice(int x) { return helper(x) + STEP; }\n',
    'cpu/c.cpp': 'template <typename T>\nstruct Pair {\n  T a, b;\n};\nint c() { return 0; }\n',
    'cpu/d.cpp': 'template <typename T>\nstruct Pair {\n  T b;\n};\nint d() { return 0; }\n',
    'cpu/e.cpp': 'static inline int d(int a,\n                    int b) {\n  return a;\n}\n',
    'cpu/f.cpp': 'int c();\nint f() { return c(); }\n',
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    (folder / 'cpu').mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return tmp_path


def units(source):
    tool = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'mmcv_units.py'))
    before, count = tool['write_units'](source)
    assert before == len(FILES)
    folder = source / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    files = sorted(folder.rglob('*.cpp'))
    assert count == len(files)
    return folder, files


def test_each_file_is_included_once_and_names_defined_twice_lie_in_two_units(source):
    folder, files = units(source)
    included = {
        path: [line for line in path.read_text().splitlines() if 'include' in line]
        for path in files
    }
    assert {str(p.relative_to(folder)): lines for p, lines in included.items()} == {
        'pybind.cpp': [],
        'unit_0.cpp': ['#include "a.inc"', '#include "b.inc"'],
        'cpu/unit_0.cpp': ['#include "c.inc"', '#include "e.inc"', '#include "f.inc"'],
        'cpu/unit_1.cpp': ['#include "d.inc"'],
    }


def test_the_units_compile_and_compute_what_the_files_do(source):
    _, files = units(source)
    program = source / 'program'
    compiler = (sysconfig.get_config_var('CXX') or 'g++').split()[0]
    chosen = [str(path) for path in files if path.parent.name != 'cpu']
    subprocess.run([compiler, *chosen, '-o', str(program)], check=True)
    assert subprocess.run([str(program)]).returncode == 3
