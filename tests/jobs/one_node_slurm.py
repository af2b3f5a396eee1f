"""A SLURM of one node on loopback, whose files, keys, sockets and ports are its own."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import NamedTuple

from tiny_run import free_port

SCRIPT = pathlib.Path(__file__).parents[2] / "launch" / "slurm.sbatch"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "setpriv")
SECONDS = 60
"""That a command or the start of the daemons may take."""
# cred_expire is also how long a requeued job waits: 120 seconds unless it is set, 5 at least.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
KillWait=10
MinJobAge=3600
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs=32
PartitionName=all Nodes=ALL Default=YES
"""


class Job(NamedTuple):
    """What `scontrol show job` says of it."""

    state: str
    restarts: int
    exit_code: str
    """The status of the job's script, a colon, and the signal that ended it."""


class Cluster(NamedTuple):
    environment: dict[str, str]

    def command(self, *words, **options):
        return subprocess.run(
            words,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
            **options,
        ).stdout

    def submit(self, folder, *arguments, time_limit="30"):
        """launch/slurm.sbatch from `folder`, in two tasks on processors -> the job's number."""
        options = ("--parsable", "--nodes=1", "--ntasks-per-node=2", "--gpus-per-task=0")
        options += ("--cpus-per-task=1", f"--time={time_limit}", "--output=%j.txt")
        # JAX makes a port of the job's number, which another test's cluster counts from 1 as well.
        environment = self.environment | {"JAX_COORDINATOR_PORT": str(free_port())}
        words = ["sbatch", *options, str(SCRIPT), *arguments]
        return subprocess.run(
            words,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        ).stdout.strip()

    def job(self, number):
        said = self.command("scontrol", "--oneliner", "show", "job", number)
        fields = dict(re.findall(r"(\w+)=(\S*)", said))
        return Job(fields["JobState"], int(fields["Restarts"]), fields["ExitCode"])

    def wait(self, number, holds, seconds):
        """Until `holds(job)`; AssertionError with the job as it is after `seconds`."""
        end = time.monotonic() + seconds
        while not holds(job := self.job(number)):
            assert time.monotonic() < end, job
            time.sleep(0.3)
        return job

    def tasks(self, number):
        """Process numbers of the program in the tasks of a job, not those of the shells above it."""
        found = {}
        for pid, environ in environments():
            if f"SLURM_JOB_ID={number}".encode() not in environ:
                continue
            with contextlib.suppress(OSError):
                program = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
                [task] = [word for word in environ if word.startswith(b"SLURM_PROCID=")] or [b""]
                if task and pathlib.PurePath(program.decode()).name.startswith("python"):
                    found[int(task.partition(b"=")[2])] = pid
        return found


def why_not():
    """The reason why there can be no cluster here, or None."""
    if os.getuid() != 0:
        return "SLURM's daemons want root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    return f"not installed: {', '.join(missing)} (Debian: slurm-wlm munge)" if missing else None


def search_path():
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextlib.contextmanager
def cluster(folder):
    """Yields a `Cluster`; afterwards no process of it is left, the tasks of its jobs included."""
    configuration = folder / "slurm.conf"
    ports = {"controller": free_port(), "node": free_port()}
    text = CONFIGURATION.format(folder=folder, host=socket.gethostname(), **ports)
    configuration.write_text(text)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    # A test may itself run in a job, whose variables are options here.
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH", "SRUN"))}
    ours |= {"SLURM_CONF": str(configuration), "PATH": search_path()}
    daemons = []
    try:
        for words in daemon_commands(folder):
            # They end also where this process is killed.
            with (folder / f"{words[0]}.txt").open("w") as output:
                daemons.append(
                    subprocess.Popen(
                        ["setpriv", "--pdeathsig", "KILL", *words],
                        env=ours,
                        cwd=folder,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        until_idle(folder, Cluster(ours), daemons)
        yield Cluster(ours)
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait(SECONDS)
        kill_all(f"SLURM_CONF={configuration}".encode())


def daemon_commands(folder):
    yield (
        "munged",
        "--foreground",
        "--force",
        f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munge.seed",
    )
    yield "slurmctld", "-D"
    yield "slurmd", "-D", "-N", "localhost"


def until_idle(folder, running, daemons):
    end = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if running.command("sinfo", "--noheader", "--format=%T").strip() == "idle":
                return
        if time.monotonic() > end or any(daemon.poll() is not None for daemon in daemons):
            said = [path.read_text()[-2000:] for path in sorted(folder.glob("*.txt"))]
            raise RuntimeError("SLURM did not start:\n" + "\n".join(said))
        time.sleep(0.2)


def environments():
    """(process number, its variables) of all processes that are not zombies."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "environ").read_bytes().split(b"\0")


def kill_all(variable):
    """Every process that has `variable`; one that is being started has it as well."""
    end = time.monotonic() + SECONDS
    while left := [pid for pid, environ in environments() if variable in environ]:
        assert time.monotonic() < end, f"still there: {left}"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
