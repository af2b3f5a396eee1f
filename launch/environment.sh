# Sourced by the other scripts, and by who wants it: what makes a CPU faster. docs/performance.md has the measurements.
# The programs set the first variable by themselves (ddpm_jax/kept_memory.py); others do not.
# XLA takes the memory of a step again each time, and Linux hands it out in pages of 4 KiB, cleared one by one:
# so let the C library keep what is freed, and in large pages. Other C libraries ignore this.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184}"
# Two devices on one CPU, each with half of every batch: XLA's own threads leave a core idle for a part of a step.
if [ "$(getconf _NPROCESSORS_ONLN)" -gt 1 ]; then
    export JAX_NUM_CPU_DEVICES="${JAX_NUM_CPU_DEVICES:-2}"
fi
