"""Shared by the two programs: config from a file, overrides by name, one-line errors, compile cache."""

import contextlib
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from ddpm_jax import config_files, kept_memory, view

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, or the name of one that comes with the program, such as digits; "
    "--config.SECTION.FIELD=VALUE changes a field.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where the run's files go; runs/<config name> if not given."
)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the program an error arose.")

# Errors that a user's input or machine can cause; anything else is a bug and shows its traceback.
EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError, ImportError)
EXIT_ERROR = 2
HELPS = {"help", "helpshort", "helpfull", "helpxml", "?"}
MOVED = {
    "net.num_res_blocks": "net.unet.num_res_blocks",
    "net.attention_resolutions": "net.unet.attention_resolutions",
    "net.middle_attention": "net.unet.middle_attention",
    "net.head_channels": "net.unet.head_channels",
    "net.dropout": "net.unet.dropout",
    "net.conditioning": "net.unet.conditioning",
    "net.norm": "net.unet.norm",
    "net.num_groups": "net.unet.num_groups",
    "net.resampling": "net.unet.resampling",
    "net.time_embedding": "net.unet.time_embedding or net.patch.time_embedding",
    "net.max_period": "net.unet.max_period",
    "net.patch_size": "net.unet.patch_size",
    "net.activation": "net.double_conv.activation",
    "net.patch_sizes": "net.patch.patch_sizes",
    "net.min_side": "net.patch.min_side",
    "net.num_refine_blocks": "net.patch.num_refine_blocks",
}
"""Renamed fields: earlier name to current name."""
FREE_FORM = "data.groups."
"""The user names the fields of this section."""
CACHE_LIMIT = 4 << 30
"""Bytes of compiled programs to keep: enough for about a thousand launches."""


def run(main: Callable[[], int | None], config_default: str | None = None) -> None:
    """Parse the flags, call `main`, exit with its status; an expected error gives one line and status 2.

    `config_default` is the name of the config if --config is not given.
    """
    kept_memory.keep()

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
            # JAX raises this with its allocator's message.
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
    """Let JAX reuse programs compiled by earlier launches, from the user's cache directory.

    JAX's own variables take precedence: `JAX_COMPILATION_CACHE_DIR` moves the cache, and
    `JAX_ENABLE_COMPILATION_CACHE=0` disables it. JAX reads them on import, so call this before.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        directory = pathlib.Path(home).expanduser() / "ddpm_jax" / "compiled"
        try:
            # The programs in it are executed, so nobody else may write to it.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return  # the directory cannot be made here: no cache
        drop_oldest(directory, CACHE_LIMIT)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(directory)
    # A start compiles many small programs: each takes less than a second, together they take several.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def drop_oldest(directory: pathlib.Path, limit: int) -> None:
    """Remove the oldest files until at most `limit` bytes are left; JAX itself removes none."""
    with contextlib.suppress(OSError):  # another process may be removing them
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


def named() -> set[str]:
    """Dotted names of the fields that the command line names."""
    flag = flags.FLAGS["config"]
    return {name.partition("[")[0] for name in config_flags.get_override_values(flag)}


def settings() -> dict[str, str]:
    """Dotted names of the fields that are set, each with the flag that undoes it, or "" if none does.

    A field is set if the command line names it, or if the config file gives it another value than
    configs/default.py. A flag that restores the default undoes what the file sets.
    """
    flag = flags.FLAGS["config"]
    default = dict(view.leaves(config_files.get_config()))
    file = dict(view.leaves(config_files.load(config_flags.get_config_filename(flag))))
    now = dict(view.leaves(config()))
    differs = {name for name in file if name not in default or file[name] != default[name]}
    asked = named()
    back = {name for name in asked & differs if name in default and now[name] == default[name]}
    return {
        name: shlex.quote(f"--config.{name}={default[name]}")
        if name not in asked and name in default
        else ""
        for name in (asked | differs) - back
    }


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
        argv = [argv[0], f"--config={config_default}", *argv[1:]]
    config_files.let_be_imported()
    argv = [_with_path(arg) for arg in argv]
    try:
        _check_overrides(argv)
        rest = flags.FLAGS(argv)
        if flags.FLAGS["verbosity"].using_default_value:
            # At INFO, Orbax reports every file it moves.
            flags.FLAGS.verbosity = logging.WARNING  # type: ignore[assignment]
        return rest
    except SystemExit:
        if HELPS.intersection(arg.lstrip("-") for arg in argv):
            sys.exit(0)  # absl leaves with 1
        raise
    except (ValueError, TypeError, OSError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)


def _with_path(arg: str) -> str:
    """`--config=digits` with the path of the config that comes with the program."""
    flag, _, name = arg.partition("=")
    if flag not in ("--config", "-config") or os.path.isfile(name):  # false for what no path can be
        return arg
    path = config_files.find(name)
    return f"{flag}={path}" if path else arg


def _check_overrides(argv: Sequence[str]) -> None:
    """Raises ValueError if an override names a field that does not exist; lists those that do."""
    files = [arg.partition("=")[2] for arg in argv if arg.startswith(("--config=", "-config="))]
    if not files:
        return
    if not os.path.isfile(files[-1]):
        names = ", ".join(config_files.names())
        raise ValueError(f"--config: there is no file {files[-1]}; the program has {names}")
    known = config_files.load(files[-1])
    _check_file(files[-1], known)
    for arg in argv:
        if not arg.startswith(("--config.", "-config.")):
            continue
        name = arg.partition("=")[0].lstrip("-").removeprefix("config.")
        section = known
        for part in name.split("."):
            if not isinstance(section, ConfigDict) or part not in section:
                _check_moved(arg, name)
                fields = (
                    ", ".join(sorted(section))
                    if isinstance(section, ConfigDict)
                    else "none below it"
                )
                raise ValueError(f"{arg}: no field {part!r} in {name!r}; there are: {fields}")
            section = section[part]


def _check_moved(where: str, name: str) -> None:
    if (moved := name.partition("[")[0]) in MOVED:
        raise ValueError(f"{where}: {moved} is now {MOVED[moved]}")


def _check_file(path: str, config: ConfigDict) -> None:
    """Raises ValueError if the file sets a field that configs/default.py lacks: nothing would read it."""
    known = dict(view.leaves(config_files.get_config()))
    for name, _ in view.leaves(config):
        if name not in known and not name.startswith(FREE_FORM):
            _check_moved(path, name)
            raise ValueError(f"{path}: no field {name!r}; configs/default.py has all there are")
