"""Files are read at one door each: checkpoints by `load_torch`, JSON by `read_json`.

Read from the source: what unpickles, or runs text, may stand nowhere else.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ('mmdet_lcp', 'runtime')
    for path in (ROOT / folder).rglob('*.py')
    if '.mim' not in path.parts
)
# Call -> files that may make it, with the reason.
UNSAFE = {
    'torch.load': {'mmdet_lcp/files.py': 'the door'},
    'pickle.load': {},
    'pickle.loads': {
        'mmdet_lcp/datasets/degenerate_boxes.py': "mmengine's annotations in this process's memory"
    },
    'pickle.Unpickler': {},
    'torch.jit.load': {
        'mmdet_lcp/measure/on_device.py': 'runs on a device what was exported for it: code it is'
    },
    'torch.hub.load': {},
    'torch.hub.load_state_dict_from_url': {},
    'joblib.load': {},
    'dill.load': {},
    'marshal.loads': {},
    'shelve.open': {},
    'yaml.load': {},
    'numpy.load': {'mmdet_lcp/files.py': 'the door, which refuses pickles'},
    'eval': {},
    'exec': {},
    'os.system': {},
}
# JSON is read by `read_json`, or where what is wrong with it is caught; or, with the reason:
UNGUARDED = {
    'mmdet_lcp/export/convert/__init__.py': 'text inside an ONNX file that has been checked',
    'mmdet_lcp/export/int8_choice.py': 'text inside an ONNX file that this package has made',
    'mmdet_lcp/datasets/label_names.py': 'an annotation file that mmdet has read before',
}


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in nodes(path) if isinstance(node, ast.Call))


def imported(path: Path) -> dict[str, str]:
    """What the names of a file stand for: ``np`` -> ``numpy``, ``loads`` -> ``pickle.loads``."""
    names = {}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition('.')[0]] = (
                    alias.name if alias.asname else alias.name.partition('.')[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f'{node.module}.{alias.name}'
    return names


def called(call: ast.Call, names: dict[str, str]) -> str:
    """The whole name of what is called, as far as the text says it."""
    parts, node = [], call.func
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ''
    return '.'.join([names.get(node.id, node.id), *reversed(parts)])


def test_nobody_reads_elsewhere():
    found = {name: set() for name in UNSAFE}
    for path in SOURCES:
        names = imported(path)
        for call in calls(path):
            name = called(call, names)
            if name in found:
                found[name].add(str(path.relative_to(ROOT)))
    assert found == {name: set(files) for name, files in UNSAFE.items()}


def guarded(path: Path) -> set[ast.AST]:
    """What stands in a ``try`` that catches a ValueError, which `json` raises."""
    found = set()
    for node in nodes(path):
        if not isinstance(node, ast.Try):
            continue
        caught = {
            name.id
            for handler in node.handlers
            for name in ast.walk(handler.type or ast.Name('Exception'))
            if isinstance(name, ast.Name)
        }
        if caught & {'ValueError', 'Exception'}:
            found |= {inside for line in node.body for inside in ast.walk(line)}
    return found


def test_json_that_is_none_is_told():
    found = set()
    for path in SOURCES:
        names, inside = imported(path), guarded(path)
        for call in calls(path):
            reads = called(call, names) in ('json.load', 'json.loads')
            if reads and call not in inside:
                found.add(str(path.relative_to(ROOT)))
    assert found == set(UNGUARDED)


def test_the_check_is_never_off():
    """``weights_only`` is True wherever it is given, and given wherever a file is opened."""
    for path in SOURCES:
        names = imported(path)
        for call in calls(path):
            given = {word.arg: word.value for word in call.keywords}
            if called(call, names) == 'torch.load':
                assert 'weights_only' in given, path
            if 'weights_only' in given:
                assert getattr(given['weights_only'], 'value', None) is True, path
            value = getattr(given.get('allow_pickle'), 'value', False)
            assert value is False, path


def test_other_names_are_seen_through(tmp_path):
    path = tmp_path / 'x.py'
    path.write_text(
        'import numpy as np\nfrom pickle import loads as read\nimport torch.hub\n'
        'np.load(1)\nread(2)\ntorch.hub.load(3)\neval(4)\nself.load(5)\n'
    )
    names = imported(path)
    found = [called(call, names) for call in calls(path)]
    assert found == ['numpy.load', 'pickle.loads', 'torch.hub.load', 'eval', 'self.load']
