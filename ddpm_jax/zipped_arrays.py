"""Read the arrays of an `.npz` from an untrusted source.

`numpy.load` allocates whatever size the header claims before it reads a byte. Here every claim is
checked first: dtype, rank, size, and that the archive declares as many bytes. Anything wrong in a file
raises a one-line ValueError; a file that cannot be opened raises the usual OSError.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Shaped

BLOCK = 2**20
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def keys(path: str | os.PathLike) -> tuple[str, ...]:
    """What `numpy.load(path)` would list."""
    with _archive(path, "the archive") as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ValueError("an array is there twice")
        return tuple(name.removesuffix(".npy") for name in names)


def read(
    path: str | os.PathLike, key: str, kind: type, rank: int, max_bytes: int
) -> Shaped[np.ndarray, "..."]:
    """One array, of a dtype under `kind` in NumPy's tree of scalar types."""
    with _archive(path, key) as archive, archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"npy format {version}; wanted one of {', '.join(map(str, HEADERS))}")
        shape, fortran, dtype = HEADERS[version](file)
        if not np.issubdtype(dtype, kind):
            raise ValueError(f"dtype is {dtype}; wanted {kind.__name__.removesuffix('_')}")
        if len(shape) != rank or min(shape, default=0) < 0:
            raise ValueError(f"shape is {shape}; wanted {rank} dimensions")
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > max_bytes:
            raise ValueError(
                f"{shape} of {dtype} is {num_bytes} bytes; at most {max_bytes} are read"
            )
        held = archive.getinfo(f"{key}.npy").file_size - file.tell()
        if held != num_bytes:
            raise ValueError(f"{held} bytes are held; wanted {num_bytes} for {shape} of {dtype}")
        # Pages of an empty array take no memory until they are written to, so an archive that lies
        # about its size takes no more memory than it delivers.
        data = np.empty(num_bytes, np.uint8)
        filled = 0
        while block := file.read(BLOCK):  # to the end of the file, where its CRC is checked
            data[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
            filled += len(block)
        if filled != num_bytes:
            raise ValueError(f"it ends after {filled} of {num_bytes} bytes")
        return data.view(dtype).reshape(shape, order="F" if fortran else "C")


@contextlib.contextmanager
def _archive(path: str | os.PathLike, what: str) -> Iterator[zipfile.ZipFile]:
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except Exception as error:
            # A damaged archive raises from zipfile, zlib, ast, tokenize, ...
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{path}: {what}: {reason}") from error
