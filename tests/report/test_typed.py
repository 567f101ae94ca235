"""Values of another type than a dataclass says are named."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.typed import check_types


@dataclass
class Inner:
    name: str = 'a'
    numbers: list[float] = field(default_factory=lambda: [1, 2.5])


@dataclass
class Outer:
    count: int = 3
    rate: float | None = None
    inner: Inner = field(default_factory=Inner)
    rows: list[Inner] = field(default_factory=lambda: [Inner()])
    metrics: dict[str, float] = field(default_factory=lambda: {'a': 0.5})
    anything: dict[str, Any] = field(default_factory=lambda: {'a': [object()]})
    words: dict[str, str | None] = field(default_factory=lambda: {'a': None, 'b': 'c'})
    pair: tuple[int, int] = (1, 2)
    several: tuple[float, ...] = (0.5,)


def test_what_fits():
    check_types(Outer())
    check_types(Outer(rate=2, rows=[], metrics={'a': None}))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(count='3'), "count='3' is no int"),
        (dict(count=True), 'count=True is no int'),
        (dict(count=1.5), r'count=1\.5 is no int'),
        (dict(count=None), 'count=None is no int'),
        (dict(rate='x'), "rate='x' is no float"),
        (dict(rate=False), 'rate=False is no float'),
        (dict(inner=None), 'inner=None is no Inner'),
        (dict(inner=Inner(name=3)), r'inner\.name=3 is no str'),
        (dict(inner=Inner(numbers=[None])), r'inner\.numbers\[0\]=None is no float'),
        (dict(rows={}), r'rows=\{\} is no list'),
        (dict(rows=[Inner(), Inner(numbers=['x'])]), r"rows\[1\]\.numbers\[0\]='x' is no float"),
        (dict(rows=[{'name': 'a'}]), r'rows\[0\]=.* is no Inner'),
        (dict(metrics=[1]), r'metrics=\[1\] is no dict'),
        (dict(metrics={'a': [1]}), r"metrics\['a'\]=\[1\] is no float"),
        (dict(metrics={3: 1.0}), 'metrics: the name=3 is no str'),
        (dict(words={'a': 3}), r"words\['a'\]=3 is no str"),
        (dict(pair=(1, 'x')), r"pair\[1\]='x' is no int"),
        (dict(pair=(1,)), r'pair=\(1,\) must have 2 entries'),
        (dict(pair=1), 'pair=1 is no tuple'),
        (dict(several=[1.0, 'x']), r"several\[1\]='x' is no float"),
    ],
)
def test_what_does_not_is_named(change, message):
    with pytest.raises(CompressionError, match=message):
        check_types(Outer(**change))
