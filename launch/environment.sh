# Sourced by the other scripts: what makes training faster on a CPU. docs/performance.md has the measurements.
# XLA takes the memory of a step anew each time, and Linux hands it out in pages of 4 KiB, cleared one by one:
# so let the C library keep what is freed, and in large pages. Other C libraries ignore this.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184}"
