"""A SLURM job array: any number of equal tasks, which draw from one ledger."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from histoscope.errors import ConfigError
from histoscope.jobs.executor import LEFT

NOTICE_S = 120
"""A task is asked to stop this long before its time limit; SLURM may do so a minute earlier."""
LEAST_MINUTES = 10
"""A task needs time to open a model and process a part before it is asked to stop."""

_MINUTES = re.compile(r"(?P<minutes>\d+)(:\d\d?)?")
_CLOCK = re.compile(r"(?P<hours>\d+):(?P<minutes>\d\d?):\d\d?")
_DAYS = re.compile(r"(?P<days>\d+)-(?P<hours>\d\d?)(:(?P<minutes>\d\d?)(:\d\d?)?)?")


@dataclass(frozen=True, slots=True)
class Array:
    """A job array.

    Parameters
    ----------
    tasks : int
    cpus, gpus : int
        Of each task.
    time : str
        Time limit of each task, in SLURM's format: ``240`` (minutes), ``4:00:00``, ``1-12`` (days and hours).
        Empty for that of the partition.
    partition : str
        Empty for the cluster's default.
    """

    tasks: int = 8
    cpus: int = 8
    gpus: int = 1
    time: str = ""
    partition: str = ""

    def __post_init__(self) -> None:
        if self.time and minutes_of(self.time) < LEAST_MINUTES:
            raise ConfigError(
                f"--time {self.time}: a task is asked to stop {NOTICE_S} s before the end, or up to a "
                f"minute earlier, and would hardly start; give {LEAST_MINUTES} minutes or more"
            )

    def script(self, call: Sequence[str], folder: Path) -> str:
        """Script for ``sbatch``: each task runs the call, and is requeued if it was asked to stop.

        Parameters
        ----------
        call : sequence of str
            The command as a list of words.
        folder : Path
            Where it runs.

        Examples
        --------
        >>> print(Array(tasks=2, gpus=0).script(["histoscope", "predict"], Path("/data")))
        #!/bin/bash
        #SBATCH --job-name=histoscope
        #SBATCH --array=1-2
        #SBATCH --ntasks=1
        #SBATCH --cpus-per-task=8
        #SBATCH --chdir=/data
        #SBATCH --requeue
        #SBATCH --open-mode=append
        #SBATCH --signal=USR1@120
        srun --cpus-per-task="$SLURM_CPUS_PER_TASK" histoscope predict
        code=$?
        [ $code -eq 75 ] && scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        exit $code
        """
        asked = [f"--array=1-{self.tasks}", "--ntasks=1", f"--cpus-per-task={self.cpus}"]
        asked += [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        asked += [f"--time={self.time}"] if self.time else []
        asked += [f"--partition={self.partition}"] if self.partition else []
        asked += [f"--chdir={folder}", "--requeue", "--open-mode=append", f"--signal=USR1@{NOTICE_S}"]
        lines = ["#!/bin/bash", *(f"#SBATCH {shlex.quote(one)}" for one in ["--job-name=histoscope", *asked])]
        # Without its own count, srun gives one core (since SLURM 22.05). The signal goes to what srun starts.
        # By SLURM_JOB_ID, the task that has the number of the array would queue the whole array again.
        lines += [f'srun --cpus-per-task="$SLURM_CPUS_PER_TASK" {shlex.join(call)}', "code=$?"]
        this = '"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"'
        return "\n".join([*lines, f"[ $code -eq {LEFT} ] && scontrol requeue {this}", "exit $code"])


def minutes_of(time: str) -> int:
    """Minutes of a time limit in one of SLURM's forms.

    Raises
    ------
    ConfigError
        If it has none of these forms.

    Examples
    --------
    >>> minutes_of("90"), minutes_of("4:00:00"), minutes_of("1-12"), minutes_of("1-00:30")
    (90, 240, 2160, 1470)
    """
    for form in (_MINUTES, _CLOCK, _DAYS):
        if match := form.fullmatch(time):
            days, hours, minutes = (
                int(match.groupdict().get(unit) or 0) for unit in ("days", "hours", "minutes")
            )
            return minutes + 60 * (hours + 24 * days)
    raise ConfigError(
        f"--time {time}: expected minutes, hours:minutes:seconds or days-hours, such as 8:00:00"
    )
