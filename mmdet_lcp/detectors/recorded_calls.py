"""Record what a method returns while somebody else calls it.

mmdet's heads match boxes to objects in the middle of computing their losses and keep the result
to themselves; each kind of head prepares the matching in a way of its own. Listening there gives
exactly the boxes that the detector trains on, without doing anything twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_ABSENT = object()


@dataclass
class Call:
    """One call of a method.

    Attributes:
        args: positional arguments, without the object itself.
        kwargs: keyword arguments.
        result: what it returned.
    """

    args: tuple
    kwargs: dict[str, Any]
    result: Any

    def given(self, position: int, name: str) -> Any:
        """An argument, however it was given."""
        return self.args[position] if position < len(self.args) else self.kwargs[name]


@contextmanager
def recorded_calls(owner: object, method: str) -> Iterator[list[Call]]:
    """While open, every call of a method of this one object is appended to the list.

    Nothing is left in the object afterwards, whatever happened; it may be opened several times
    at once.

    Args:
        owner: the object, of any class that lets attributes be set.
        method: the method's name.
    """
    calls: list[Call] = []
    before = vars(owner).get(method, _ABSENT)
    original = getattr(owner, method)

    def listening(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls.append(Call(args, kwargs, result))
        return result

    setattr(owner, method, listening)  # hides the class's own
    try:
        yield calls
    finally:
        if before is _ABSENT:
            delattr(owner, method)
        else:
            setattr(owner, method, before)
