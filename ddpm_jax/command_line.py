"""What the two programs share: a config from a file, overrides by name, one-line errors, a compile cache."""

import contextlib
import os
import pathlib
import runpy
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file; --config.SECTION.FIELD=VALUE changes a field.", lock_config=True
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where the run's files go; runs/<config name> if not given."
)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the program an error arose.")

# What a user's input or machine can bring about; anything else is a bug and shows its traceback.
EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError, ImportError)
EXIT_ERROR = 2
REPOSITORY = pathlib.Path(__file__).parents[1]
CACHE_LIMIT = 4 << 30
"""Bytes of compiled programs that are kept: those of some thousand launches."""


def run(main: Callable[[], int | None], config_default: str | None = None) -> None:
    """Parse the flags, call `main`, leave with its status; expected errors become one line and status 2."""

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            print(f"error: {argv[1]!r} is no flag; flags begin with --", file=sys.stderr)
            sys.exit(EXIT_ERROR)
        keep_compiled_programs()
        try:
            status = main()
        except EXPECTED_ERRORS as error:
            if TRACEBACK.value:
                raise
            status = _explain(str(error))
        except RuntimeError as error:
            # JAX's own error, in the words of its allocator.
            if "RESOURCE_EXHAUSTED" not in str(error) or TRACEBACK.value:
                raise
            status = _explain(
                "the device is out of memory; make training.batch_size or sampling.batch_size "
                "smaller, or raise training.accumulate, which cuts a batch into parts with the same "
                f"result ({str(error).splitlines()[0]})"
            )
        except MemoryError as error:
            if TRACEBACK.value:
                raise
            status = _explain(f"out of memory ({error}); data.memory_mib bounds decoded images")
        sys.exit(status or 0)

    app.run(guarded, flags_parser=lambda argv: _parse(argv, config_default))


def keep_compiled_programs() -> None:
    """Let JAX find in the user's cache directory what an earlier launch has compiled.

    JAX's own variables come first: `JAX_COMPILATION_CACHE_DIR` moves the programs, and
    `JAX_ENABLE_COMPILATION_CACHE=0` keeps none. Call it before JAX is imported, which reads them then.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        directory = pathlib.Path(home).expanduser() / "ddpm_jax" / "compiled"
        try:
            # What is in there is run: nobody else may write to it.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return  # no such place on this machine, so nothing is kept
        drop_oldest(directory, CACHE_LIMIT)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(directory)
    # The many small programs of a start take seconds together, none of them one.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def drop_oldest(directory: pathlib.Path, limit: int) -> None:
    """Remove the oldest files until at most `limit` bytes are left; JAX itself removes none."""
    with contextlib.suppress(OSError):  # another process removes them at the same time
        files = sorted((file.stat().st_mtime, file) for file in directory.iterdir())
        size = sum(file.stat().st_size for _, file in files)
        for _, file in files:
            if size <= limit:
                break
            size -= file.stat().st_size
            file.unlink()


def _explain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    print("(--traceback shows where)", file=sys.stderr)
    return EXIT_ERROR


def config() -> ConfigDict:
    return CONFIG.value


def workdir() -> pathlib.Path:
    """--workdir, or runs/ and the config file's name."""
    if WORKDIR.value:
        return pathlib.Path(WORKDIR.value)
    return (
        pathlib.Path("runs")
        / pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    )


def _parse(argv: Sequence[str], config_default: str | None) -> list[str]:
    if config_default and not any(arg.startswith(("--config=", "-config=")) for arg in argv):
        argv = [argv[0], f"--config={REPOSITORY / config_default}", *argv[1:]]
    try:
        _check_overrides(argv)
        rest = flags.FLAGS(argv)
        if flags.FLAGS["verbosity"].using_default_value:
            # At INFO, Orbax reports every file it moves.
            flags.FLAGS.verbosity = logging.WARNING  # type: ignore[assignment]
        return rest
    except (ValueError, TypeError, OSError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)


def _check_overrides(argv: Sequence[str]) -> None:
    """Raises ValueError listing the fields there are, where an override names one that is not there."""
    files = [arg.partition("=")[2] for arg in argv if arg.startswith(("--config=", "-config="))]
    if not files:
        return
    if not pathlib.Path(files[-1]).is_file():
        raise ValueError(f"--config: there is no file {files[-1]}")
    known = runpy.run_path(files[-1])["get_config"]()
    for arg in argv:
        if not arg.startswith(("--config.", "-config.")):
            continue
        name = arg.partition("=")[0].lstrip("-").removeprefix("config.")
        section = known
        for part in name.split("."):
            if not isinstance(section, ConfigDict) or part not in section:
                fields = (
                    ", ".join(sorted(section))
                    if isinstance(section, ConfigDict)
                    else "none below it"
                )
                raise ValueError(f"{arg}: no field {part!r} in {name!r}; there are: {fields}")
            section = section[part]
