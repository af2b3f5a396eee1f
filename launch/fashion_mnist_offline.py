"""Fashion-MNIST without a network: the four original archives, out of Debian's `dataset-fashion-mnist`.

    apt-get install -y dataset-fashion-mnist
    python launch/fashion_mnist_offline.py archives
    python -m ddpm_jax.main --config=configs/fashion_mnist.py --config.data.manual_dir=archives

The package holds the original compressed streams under gzip headers without name and time. With these two
put back, each file has the SHA-256 that TFDS asks for.
"""

import gzip
import hashlib
import pathlib
import struct
import sys

PACKAGE = pathlib.Path("/usr/share/datasets/fashion-mnist")
TRAIN_TIME, TEST_TIME = 1504176606, 1504176627
ARCHIVES = {
    "train-images-idx3-ubyte": TRAIN_TIME,
    "train-labels-idx1-ubyte": TRAIN_TIME,
    "t10k-images-idx3-ubyte": TEST_TIME,
    "t10k-labels-idx1-ubyte": TEST_TIME,
}
SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
HEADER_BYTES = 10
FLAG_NAME, MAXIMUM_COMPRESSION, UNIX = 0x08, 0x00, 0x03


def with_header(stream: bytes, name: str, modified: int) -> bytes:
    """The gzip file as `gzip` on the authors' machine wrote it (RFC 1952, section 2.3)."""
    header = gzip.compress(b"")[:3] + struct.pack(
        "<BIBB", FLAG_NAME, modified, MAXIMUM_COMPRESSION, UNIX
    )
    return header + name.encode() + b"\0" + stream[HEADER_BYTES:]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not PACKAGE.is_dir():
        sys.exit(f"error: {PACKAGE} is missing; apt-get install -y dataset-fashion-mnist")
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, modified in ARCHIVES.items():
        archive = with_header((PACKAGE / f"{name}.gz").read_bytes(), name, modified)
        found = hashlib.sha256(archive).hexdigest()
        if found != SHA256[name]:
            sys.exit(f"error: {name}.gz has SHA-256 {found}, wanted {SHA256[name]}")
        (directory / f"{name}.gz").write_bytes(archive)
    print(f"4 archives with the checksums TFDS asks for in {directory}")


if __name__ == "__main__":
    main()
