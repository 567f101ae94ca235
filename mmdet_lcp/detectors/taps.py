"""Taps: read feature maps out of a detector by module path, leaving the detector as it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import nearest_hint
from mmdet_lcp.wrappers import unwrap


class _AllCaptured(Exception):
    """Leaves a forward pass once everything asked for has been seen."""


def _find(model: nn.Module, modules: Mapping[str, nn.Module], path: str) -> nn.Module:
    if path and path in modules:
        return modules[path]
    hint = nearest_hint(path, filter(None, modules), '; did you mean {!r}?')
    raise CompressionError(f'{type(model).__name__} has no module {path!r}{hint or "."}')


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


class Taps(Mapping[str, Any]):
    """Captures what goes into or comes out of modules while the context is open.

    A mapping from path to what was captured, in order of execution; it stays readable after the
    context has closed. What runs on downstream is a copy, so that a following in-place layer
    (mmdet's VGG runs `ReLU(inplace=True)` right on a convolution's output) does not change what
    was captured; gradients pass, and `retain_grad()` on the captured tensor sees all of them.

    Args:
        model: The model, or mmengine's wrapper of it.
        paths: Module paths as in `model.named_modules()`.
        what: 'output' or 'input' (the first tensor argument).
        all_calls: Keep a list with the captures of every call of a module. By default the first
            call alone is kept, as it is, of a module that runs several times (a shared head).
        stop: With `all_calls`: keep so many captures by path, and raise a private exception when
            that many of each are there; `runs_until` alone uses this.

    Raises:
        CompressionError: A path is not in the model; the message names the nearest one.
    """

    def __init__(
        self,
        model: nn.Module,
        paths: Sequence[str],
        what: str = 'output',
        all_calls: bool = False,
        stop: Mapping[str, int] | None = None,
    ) -> None:
        if what not in ('output', 'input'):
            raise CompressionError(f"what={what!r} is unknown: use 'output' or 'input'.")
        if isinstance(paths, str):
            paths = [paths]
        model = unwrap(model)
        modules = dict(model.named_modules())
        self._modules = {path: _find(model, modules, path) for path in paths}
        self.what = what
        self.all_calls = all_calls
        self._stop = dict(stop or {})
        self._captured: dict[str, Any] = {}
        self._hooks = ExitStack()

    def __enter__(self) -> 'Taps':
        """Place the hooks; captures of an earlier use are forgotten."""
        self._captured.clear()
        for path, module in self._modules.items():
            if self.what == 'output':
                handle = module.register_forward_hook(partial(self._on_output, path))
            else:
                handle = module.register_forward_pre_hook(
                    partial(self._on_input, path), with_kwargs=True
                )
            self._hooks.callback(handle.remove)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks, whatever happened."""
        self._hooks.close()

    def __getitem__(self, path: str) -> Any:
        """What was captured at a path; KeyError if it has not run."""
        return self._captured[path]

    def __iter__(self) -> Iterator[str]:
        """The captured paths, in order of execution."""
        return iter(self._captured)

    def __len__(self) -> int:
        """How many paths have been captured."""
        return len(self._captured)

    def missing(self) -> list[str]:
        """The paths that have not run yet."""
        return [path for path in self._modules if path not in self._captured]

    def _keep(self, path: str, value: Any) -> bool:
        """Keep a value if it is wanted; say whether it was."""
        if not self.all_calls:
            if path in self._captured:
                return False
            self._captured[path] = value
            return True
        runs = self._captured.setdefault(path, [])
        if len(runs) == self._stop.get(path):
            return False
        runs.append(value)
        if self._stop and all(
            len(self._captured.get(each, ())) == count for each, count in self._stop.items()
        ):
            raise _AllCaptured
        return True

    def _on_output(self, path: str, module: nn.Module, args: tuple, output: Any) -> Any:
        # None tells torch to leave the output alone.
        return _copy(output) if self._keep(path, output) else None

    def _on_input(
        self, path: str, module: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[tuple, dict] | None:
        if args:
            if not self._keep(path, args[0]):
                return None
            return (_copy(args[0]), *args[1:]), kwargs
        key = next((name for name, value in kwargs.items() if isinstance(value, Tensor)), None)
        if key is None or not self._keep(path, kwargs[key]):
            return None
        return args, {**kwargs, key: _copy(kwargs[key])}


def run_until(
    model: nn.Module, run: Callable[[], Any], paths: Sequence[str], what: str = 'output'
) -> dict[str, Tensor]:
    """Run a callable that calls the model, and leave it once every path has been captured.

    Args:
        model: The model whose modules are tapped.
        run: Called without arguments; runs the model in whichever way.
        paths: Module paths as in `model.named_modules()`.
        what: 'output'; or 'input', with which the last module does not even run.

    Returns:
        The captured tensors, in the order of `paths`. Of a module that runs several times, the
        first call's.

    Raises:
        CompressionError: A path is not in the model, never ran, or gave no single tensor.
    """
    paths = [paths] if isinstance(paths, str) else list(paths)
    if not paths:
        return {}
    found = runs_until(model, run, dict.fromkeys(paths, 1), what)
    return {path: runs[0] for path, runs in found.items()}


def runs_until(
    model: nn.Module, run: Callable[[], Any], runs: Mapping[str, int], what: str = 'output'
) -> dict[str, list[Tensor]]:
    """Run a callable that calls the model, and leave it once modules have run so many times.

    Args:
        model: The model whose modules are tapped.
        run: Called without arguments; runs the model in whichever way.
        runs: How many times each module runs, by path, at least 1.
        what: 'output'; or 'input', with which the last run of the last module is left out.

    Returns:
        What was captured in each of so many runs, by path, in the order of `runs`.

    Raises:
        CompressionError: A path is not in the model, ran less often, or gave no single tensor.
    """
    if not runs:
        return {}
    taps = Taps(model, list(runs), what, all_calls=True, stop=runs)
    with taps:
        try:
            run()
        except _AllCaptured:
            pass
        else:
            short = [path for path, count in runs.items() if len(taps.get(path, ())) < count]
            raise CompressionError(
                f'The forward pass of {type(model).__name__} never ran {short}, or less often '
                f'than it should: name modules that take part in it.'
            )
    for path in runs:
        for value in taps[path]:
            if not isinstance(value, Tensor):
                raise CompressionError(
                    f'The {what} of {path!r} is a {type(value).__name__}, not one tensor: name '
                    f'a module inside it.'
                )
    return {path: taps[path][:count] for path, count in runs.items()}


def forward_until(
    detector: nn.Module,
    inputs: Tensor,
    paths: Sequence[str],
    what: str = 'output',
    data_samples: list | None = None,
) -> dict[str, Tensor]:
    """Run a detector's own tensor forward only as far as the last of some modules.

    Gradients are on or off as the caller has them; so is train or eval mode.

    Args:
        detector: An mmdet detector.
        inputs: Preprocessed images (N, 3, H, W) on the detector's device.
        paths: Module paths as in `detector.named_modules()`.
        what: 'output'; or 'input', with which the last module does not even run.
        data_samples: Passed on; two-stage detectors need them past their RPN.

    Returns:
        See `run_until`.

    Raises:
        CompressionError: See `run_until`.
    """
    return run_until(
        detector, lambda: detector(inputs, data_samples, mode='tensor'), paths, what=what
    )
