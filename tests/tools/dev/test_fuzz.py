"""A few inputs of each target of the fuzzer; tools/dev/fuzz.py takes as many as one likes."""

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz_targets import Fuzzed, changed, edited
from mmdet_lcp.codec.reader import PackedReader

TARGETS = [
    'packed file: bytes',
    'packed file: records, checksums right',
    'packed file: data, checksums right',
    'checkpoint: bytes',
    'plan',
    'config keys',
    'JSON files',
]


@pytest.fixture(scope='module')
def fuzzed(tmp_path_factory) -> Fuzzed:
    return Fuzzed(tmp_path_factory.mktemp('fuzz'))


def test_every_target_is_listed(fuzzed):
    assert list(fuzzed.targets()) == TARGETS


@pytest.mark.parametrize('name', TARGETS)
def test_a_result_or_an_error_in_words(fuzzed, name):
    inputs, target = fuzzed.targets()[name]
    fuzzed.refused = fuzzed.accepted = 0
    settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )(given(inputs)(target))()
    assert fuzzed.refused > 5


class TestFaultsAreSeen:
    """The fuzzer's own checks can fail."""

    def test_another_exception(self, fuzzed):
        with pytest.raises(ZeroDivisionError):
            fuzzed._allowed(lambda: 1 // 0)

    def test_a_file_that_appears(self, fuzzed):
        with pytest.raises(AssertionError, match='a file has appeared'):
            fuzzed._allowed((fuzzed.folder / 'new').touch)
        (fuzzed.folder / 'new').unlink()

    def test_memory(self, fuzzed, monkeypatch):
        monkeypatch.setattr(PackedReader, 'tensors', lambda self: [('a', bytearray(1 << 26))])
        with pytest.raises(AssertionError, match='bytes of memory'):
            fuzzed._read_packed(fuzzed._packed)

    def test_changed_bytes_that_are_accepted(self, fuzzed, monkeypatch):
        monkeypatch.setattr(Fuzzed, '_read_packed', lambda self, content: True)
        with pytest.raises(AssertionError, match='is accepted'):
            fuzzed.packed_bytes([(9, 'flip', b'\1')])


def test_what_is_done_to_data_and_bytes():
    data = {'a': [1, {'b': 2}]}
    assert changed(data, [([0, 1, 0], 'put', 7)]) == {'a': [1, {'b': 7}]}
    assert changed(data, [([0, 0], 'drop', None)]) == {'a': [{'b': 2}]}
    assert data == {'a': [1, {'b': 2}]}
    edits = [(1, 'flip', b'\1'), (4, 'end', b'x'), (0, 'insert', b'zz')]
    assert edited(b'abcdef', edits) == b'zza' + b'ccd'
