"""Read tensors from a PyTorch file, without PyTorch and without running what is in the file.

Such a file is a pickle, and a pickle is a program. This reader lets it name only the constructors of
tensors and dictionaries, and replaces those with the few lines below; any other name is an error.
Both formats are read: the zip archive, and the stream that was written before PyTorch 1.6.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
}
MALFORMED = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError,
    TypeError, AttributeError, ValueError, ArithmeticError, MemoryError,
    OSError,  # a position before the beginning of the file
    RuntimeError,  # an encrypted archive, a compression that Python lacks, too deep a nesting
)  # fmt: skip
# An unpickler allocates room for the largest object number in the file.
MAX_OBJECTS = 2**20
# Tied weights are read once per name; a file that asks for more memory than this is forged.
MAX_TIMES_THE_FILE = 4


class _Storage(NamedTuple):
    """The memory that tensors are views of; its bytes are elsewhere in the file."""

    key: str
    dtype: np.dtype


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by name; ValueError if the file holds anything else.

    The file may come from anyone: it takes memory in proportion to its own size.
    """
    size = Path(path).stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                state, memory = _read_archive(archive, size)
        else:
            with open(path, "rb") as file:
                state, memory = _read_stream(file)
        views = {str(name): _checked_view(view) for name, view in state.items()}
        wanted = sum(math.prod(view.shape) * view.storage.dtype.itemsize for view in views.values())
        if wanted > MAX_TIMES_THE_FILE * size:
            raise ValueError(f"its tensors would take {wanted} bytes, the file has {size}")
        return {name: _tensor(view, memory) for name, view in views.items()}
    except MALFORMED as error:
        raise ValueError(f"{path} is not a whole file of PyTorch tensors: {error!r}") from error


def _rebuild_tensor(storage, offset, shape, strides, _requires_grad, _hooks):
    return _View(storage, offset, shape, strides)


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Collects the storages that the pickle refers to in `storages`, by key."""

    def __init__(self, file: io.BufferedIOBase):
        super().__init__(file)
        self.file = file
        self.storages: dict[str, _Storage] = {}

    def load(self) -> Any:
        begin = self.file.tell()
        for opcode, argument, _ in pickletools.genops(self.file):  # type: ignore[arg-type]
            if "PUT" in opcode.name and int(argument or 0) > MAX_OBJECTS:
                raise pickle.UnpicklingError(f"object {argument} of at most {MAX_OBJECTS}")
        self.file.seek(begin)
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise ValueError(f"the file wants {module}.{name}; nothing but tensors is read")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple):
            raise pickle.UnpicklingError(f"a storage is described by {type(pid)}, wanted a tuple")
        _, dtype, key, _device, _size = pid[:5]
        if any(part is not None for part in pid[5:]):
            raise ValueError(f"storage {key} is a view of another one, which is not supported")
        return self.storages.setdefault(key, _Storage(key, dtype))


def _read_archive(archive: zipfile.ZipFile, size: int) -> tuple[dict, dict[str, bytes]]:
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > size:  # PyTorch compresses nothing
        raise ValueError(f"the archive would unpack to {unpacked} bytes, the file has {size}")
    pickled = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickled) != 1:
        raise ValueError(f"got {len(pickled)} files data.pkl in the archive, wanted 1")
    root = pickled[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("the tensors are big-endian, wanted little-endian")
    unpickler = _Unpickler(io.BytesIO(archive.read(pickled[0])))
    state = unpickler.load()
    return state, {key: archive.read(f"{root}data/{key}") for key in unpickler.storages}


def _read_stream(file: io.BufferedIOBase) -> tuple[dict, dict[str, bytes]]:
    """Pickles of magic number, version, system, state and the storages' keys; then their bytes."""
    if _Unpickler(file).load() != STREAM_MAGIC:
        raise pickle.UnpicklingError("it does not start with PyTorch's magic number")
    _version, system = _Unpickler(file).load(), _Unpickler(file).load()
    if not system["little_endian"]:
        raise ValueError("the tensors are big-endian, wanted little-endian")
    unpickler = _Unpickler(file)
    state = unpickler.load()
    memory = {}
    for key in _Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        if count < 0:
            raise ValueError(f"storage {key} has {count} values")
        memory[key] = file.read(count * unpickler.storages[key].dtype.itemsize)
    return state, memory


def _checked_view(view: Any) -> _View:
    if not isinstance(view, _View) or not isinstance(view.storage, _Storage):
        raise ValueError(f"got a {type(view).__name__}, wanted a tensor")
    if min(view.shape, default=0) < 0:
        raise ValueError(f"a tensor has shape {view.shape}")
    return view


def _tensor(view: _View, memory: dict[str, bytes]) -> np.ndarray:
    flat = np.frombuffer(memory[view.storage.key], view.storage.dtype)
    # Indices rather than strides: NumPy checks an index, but not strided memory beyond the end.
    places = np.full(view.shape, view.offset)
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        steps = stride * np.arange(size)
        places += steps.reshape([-1 if i == axis else 1 for i in range(len(view.shape))])
    return np.asarray(flat[places])
