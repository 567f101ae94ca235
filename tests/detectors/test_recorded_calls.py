import pytest
from torch import nn

from mmdet_lcp.detectors.recorded_calls import recorded_calls


class Adder:
    def add(self, a, b=0):
        if a is None:
            raise ValueError
        return a + b


def test_every_call_is_there_and_nothing_remains():
    adder, other = Adder(), Adder()
    with recorded_calls(adder, 'add') as calls:
        assert adder.add(1, b=2) == 3
        assert adder.add(4) == 4
        other.add(9)
    assert [(c.args, c.kwargs, c.result) for c in calls] == [((1,), {'b': 2}, 3), ((4,), {}, 4)]
    assert [call.given(0, 'a') for call in calls] == [1, 4]
    assert calls[0].given(1, 'b') == 2
    assert vars(adder) == {}
    adder.add(1)
    assert len(calls) == 2


def test_nested_and_after_an_error():
    adder = Adder()
    with recorded_calls(adder, 'add') as outer:
        with pytest.raises(ValueError), recorded_calls(adder, 'add') as inner:
            adder.add(2)
            adder.add(None)
        adder.add(3)
    assert [call.result for call in inner] == [2]
    assert [call.result for call in outer] == [2, 3]
    assert vars(adder) == {}


def test_in_a_module():
    module = nn.Linear(1, 1)
    keys = set(vars(module))
    with recorded_calls(module, 'extra_repr') as calls:
        text = repr(module)
    assert calls[0].result in text
    assert set(vars(module)) == keys
