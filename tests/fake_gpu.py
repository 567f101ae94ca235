"""A GPU that is none: its tensors lie in the CPU's memory, but operators keep the two sides apart.

Under `FakeGpu` the storage of a tensor is marked by `.to('cuda')` or `device='cuda'`, results take
the mark over, and what a GPU refuses raises: an operator over both sides, an index on the GPU into
a tensor on the CPU, `.numpy()` of a tensor on the GPU. It shows mistakes of device without a GPU,
nothing of speed, precision or memory.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU, CPU = torch.device('cuda', 0), torch.device('cpu')
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._to_copy.default, aten.copy.default}
# Of these a GPU takes indices on the CPU; args[1] are the indices.
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
            aten._index_put_impl_.default, aten._unsafe_index.Tensor}  # fmt: skip
PLAIN = torch._C.DisableTorchFunction
_MODULES = [importlib.import_module(f'mmcv.ops.{name}') for name in ('nms', 'roi_align')]


class DeviceError(RuntimeError):
    """What a GPU would have refused."""


class Marks:
    """Which storages count as on the GPU.

    A weak reference keeps the address of a dead storage from being used again.
    """

    def __init__(self) -> None:
        self._storages: dict[int, StorageWeakRef] = {}
        self._made = 0

    def __contains__(self, tensor: Tensor) -> bool:
        with PLAIN():
            return tensor.untyped_storage()._cdata in self._storages

    def set(self, tensor: Tensor, on_gpu: bool) -> None:
        with PLAIN():
            storage = tensor.untyped_storage()
        if not on_gpu:
            self._storages.pop(storage._cdata, None)
            return
        self._storages[storage._cdata] = StorageWeakRef(storage)
        self._made += 1
        if self._made % 20000 == 0:
            self._storages = {k: ref for k, ref in self._storages.items() if not ref.expired()}


def names_gpu(device: Any) -> bool:
    """Whether a ``device`` argument means the GPU."""
    return device is not None and (isinstance(device, int) or torch.device(device).type == 'cuda')


class _Operators(TorchDispatchMode):
    """What happens below autograd: checks operands, marks results."""

    def __init__(self, gpu: 'FakeGpu') -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, marks = dict(kwargs or {}), self.gpu.marks
        if func.overloadpacket is aten.set_:  # how a tensor is put on another one's storage
            return func(*args, **kwargs)
        asked = kwargs.get('device')
        if names_gpu(asked):
            kwargs['device'] = CPU
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_gpu = any(operand in marks for operand in operands)
        if not self.gpu.paused:
            self._check(func, args, operands)
            if names_gpu(asked) and kwargs.get('generator') is not None:
                raise DeviceError(f'{func}: a generator of the CPU for a tensor on the GPU')
        if func in COPIES:
            on_gpu = args[0] in marks
        elif not operands:  # made within an operation on the GPU, as by autograd's formulas
            on_gpu = self.gpu.within
        if asked is not None and (names_gpu(asked) or self.gpu.to_cpu):
            on_gpu = names_gpu(asked)
        with PLAIN():
            known = {operand.untyped_storage()._cdata for operand in operands}
        result = func(*args, **kwargs)

        def mark(tensor: Tensor) -> None:
            with PLAIN():
                fresh = tensor.untyped_storage()._cdata not in known
            if fresh:  # a view, or what was changed in place, keeps its side
                marks.set(tensor, on_gpu)

        tree_map_only(Tensor, mark, result)
        return result

    def _check(self, func: Any, args: tuple, operands: list[Tensor]) -> None:
        """A number (no dimensions) on the CPU may meet tensors on the GPU, not the reverse."""
        if func in COPIES:
            return
        marks = self.gpu.marks
        if func in INDEXING and args[0] in marks:
            operands = [args[0], *(a for a in args[2:3] if isinstance(a, Tensor))]
        tensors = {operand in marks for operand in operands if operand.dim()}
        numbers = {operand in marks for operand in operands if not operand.dim()}
        if len(tensors) == 2 or (tensors == {False} and True in numbers):
            sides = ', '.join(
                f'{"cuda" if operand in marks else "cpu"}{tuple(operand.shape)}'
                for operand in operands
            )
            raise DeviceError(f'{func}: operands on both sides: {sides}')


class FakeGpu(TorchFunctionMode):
    """The context in which 'cuda' is a device. Outside of it nothing is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = Marks()
        self.paused = 0  # inside of code that is not traced: nothing is checked
        self.to_cpu = False  # the caller has asked for the CPU
        self.within = False  # the caller's operands are on the GPU
        self._operators = _Operators(self)
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> 'FakeGpu':
        self._undo.enter_context(_replaced(torch.cuda, '_lazy_init', lambda: None))
        self._undo.enter_context(
            _replaced(torch.cuda, 'mem_get_info', lambda device=None: (1 << 36, 1 << 36))
        )
        self._undo.enter_context(
            _replaced(torch.cuda, 'get_device_name', lambda device=None: 'none')
        )
        self._undo.enter_context(_replaced(torch.cuda, 'synchronize', lambda device=None: None))
        for module in _MODULES:
            self._undo.enter_context(
                _replaced(module, 'ext_module', _CompiledOperators(module.ext_module, self))
            )
        self._undo.enter_context(self._operators)
        super().__enter__()
        return self

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self._undo.close()

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Check nothing: for C++ code, which sees the CPU that is there."""
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, marks = dict(kwargs or {}), self.marks
        if func == Tensor.device.__get__:
            return GPU if args[0] in marks else CPU
        if func == Tensor.is_cuda.__get__:
            return args[0] in marks
        if func in (Tensor.numpy, Tensor.__array__) and args[0] in marks and not self.paused:
            raise DeviceError(f'{func.__name__} of a tensor on the GPU: use .cpu() first')
        if func in (Tensor.cpu, Tensor.cuda, Tensor.to):
            return self._moved(func, args, kwargs)
        device = kwargs.get('device')
        by_value = func in (torch.tensor, torch.as_tensor, Tensor.new_tensor, Tensor.new)
        if by_value:
            kwargs.pop('device', None)
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        before = self.within, self.to_cpu
        self.within = any(operand in marks for operand in operands)
        self.to_cpu = device is not None and not names_gpu(device)
        try:
            result = func(*args, **kwargs)
        finally:
            self.within, self.to_cpu = before
        if func is Tensor.__deepcopy__:
            marks.set(result, args[0] in marks)
        elif by_value or func is torch.from_numpy:  # these pass below the operators
            if device is not None:
                marks.set(result, names_gpu(device))
            elif not isinstance(args[0], Tensor):
                marks.set(result, False)
            elif func in (Tensor.new_tensor, Tensor.new):
                marks.set(result, args[0] in marks)
        return result

    def _moved(self, func: Any, args: tuple, kwargs: dict) -> Tensor:
        """`.cpu()`, `.cuda()` and `.to()`: a copy where the side or the type changes."""
        tensor, *rest = args
        rest += [value for key, value in kwargs.items() if key in ('device', 'dtype', 'other')]
        there = None if func is Tensor.to else func is Tensor.cuda
        dtype = None
        for value in rest:
            if isinstance(value, Tensor):
                there, dtype = value in self.marks, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, (str, torch.device)) or type(value) is int:
                there = names_gpu(value)
        here = tensor in self.marks
        there = here if there is None else there
        if there == here and dtype in (None, tensor.dtype) and not kwargs.get('copy'):
            return tensor
        before, self.to_cpu = self.to_cpu, not there
        try:
            return aten._to_copy(tensor, dtype=dtype, device=GPU if there else CPU)
        finally:
            self.to_cpu = before


class _CompiledOperators:
    """mmcv's compiled operators: they make tensors of their own, where no mode sees it."""

    def __init__(self, real: Any, gpu: FakeGpu) -> None:
        self.real, self.gpu = real, gpu

    def __getattr__(self, name: str):
        function = getattr(self.real, name)

        def run(*args, **kwargs):
            marks = self.gpu.marks
            operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            sides = {operand in marks for operand in operands if operand.numel()}
            if len(sides) > 1:
                raise DeviceError(f'mmcv {name}: operands on both sides')
            with self.gpu.pause():
                result = function(*args, **kwargs)
            if isinstance(result, Tensor):
                marks.set(result, True in sides)
            return result

        return run


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
