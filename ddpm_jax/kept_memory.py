"""Has the C library keep the memory that is freed, in large pages.

XLA takes the memory of a step again each time. Linux would hand it out anew, in pages of 4 KiB that it
clears one by one. docs/performance.md has what that costs.
"""

import os
import sys

TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"


def keep() -> None:
    """Start this program again with `TUNABLES`: glibc reads them when a process begins.

    Call it before anything else is done. It returns where there is nothing to do: under another C library,
    and if GLIBC_TUNABLES is set, be it to nothing.
    """
    if "GLIBC_TUNABLES" in os.environ or not on_glibc():
        return
    os.environ["GLIBC_TUNABLES"] = TUNABLES
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def on_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):  # not on this system
        return False
