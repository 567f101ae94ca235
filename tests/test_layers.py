"""The imports of the package: no circle, and none that runs upwards; read from the source."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmdet_lcp'
# From the lowest floor to the highest; what stands in one line does not import one another.
FLOORS = (
    (
        'version',
        'errors',
        'moved',
        'nearest',
        'registry',
        'copies',
        'modes',
        'nested',
        'seeds',
        'wrappers',
        'ops',
        'training_mode',
        'compat.mmengine',
    ),
    ('shipped', 'runtime'),
    ('files', 'config'),
    ('plain_weights',),
    ('codec', 'compat', 'losses', 'transforms', 'graph', 'detectors'),
    ('datasets',),
    ('selection',),
    ('measure', 'auxiliary', 'least_squares', 'models'),
    ('report',),
    ('engine', 'comparison.results', 'pruning.problem'),
    ('export', 'distillation', 'weight_compression', 'pruning.criteria'),
    ('pruning.updates', 'pruning.targets'),
    ('pruning',),
    ('chain', 'comparison', 'coverage'),
    ('cli', '__main__'),
)


def modules() -> dict[str, Path]:
    """Path by module name below the package; the package's own init is left out."""
    return {
        '.'.join(path.relative_to(PACKAGE).with_suffix('').parts).removesuffix('.__init__'): path
        for path in PACKAGE.rglob('*.py')
        if path != PACKAGE / '__init__.py' and '.mim' not in path.parts
    }


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports, wherever in it and for whatever reason."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path} imports relatively'
            names = [f'{node.module}.{alias.name}' for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            below = name.removeprefix('mmdet_lcp.')
            if name.startswith('mmdet_lcp.') and below in known:
                found.add(below)
    return found


@pytest.fixture(scope='module')
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports_of(path, known) - {name} for name, path in known.items()}


def floor_of(module: str) -> tuple[int, str]:
    """The floor of a module, and the name that stands there: the longest that fits."""
    fits = [
        (len(name), number, name)
        for number, names in enumerate(FLOORS)
        for name in names
        if module == name or module.startswith(f'{name}.')
    ]
    assert fits, f'{module} has no floor: add its package to FLOORS'
    return max(fits)[1:]


def test_no_circle(graph):
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f'these import one another: {" -> ".join(error.args[1])}')
    assert len(order) == len(graph) > 150


def test_no_import_runs_upwards(graph):
    wrong = []
    for module, imported in graph.items():
        here, room = floor_of(module)
        for other in imported:
            there, other_room = floor_of(other)
            if room != other_room and there >= here:
                wrong.append(f'{module} imports {other}')
    assert not wrong, '\n'.join(sorted(wrong))
