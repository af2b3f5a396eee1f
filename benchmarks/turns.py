"""Contenders that take turns: processes of their own, one at work while the others wait.

Two libraries in one process fight for its threads; two processes that are asked in turn do not.
A request is a line of JSON on a contender's input, its answer a line on its output.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Facts = dict[str, Any]
Prepared = tuple[Callable[[], Any], Facts]
"""A call that returns when its work is done, and what is known about it."""
Maker = Callable[[Any, Mapping[str, Any]], Prepared]
"""From the config, None where a case has none, and the whole request."""


class Contender:
    """A process that runs `python -m MODULE ARGUMENTS` and answers."""

    def __init__(self, python: str, module: str, *arguments: str):
        command = [python, "-m", module, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request: Any) -> Facts:
        """Raises RuntimeError when the process is gone or says that it could not."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{request} ended its process, status {self._process.wait()}")
        answer = json.loads(line)
        if error := answer.get("error"):
            raise RuntimeError(error)
        return answer

    def close(self) -> None:
        self._process.communicate()


def serve(makers: Iterable[Maker], versions: Facts) -> None:
    """Answer until the input ends. A request's `what` is the name of one of the makers."""
    by_name = {maker.__name__: maker for maker in makers}
    # Libraries print what they like; the answers' own line is kept from them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line), by_name, prepared, versions)
        except Exception as error:  # the other contenders continue
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(request, makers, prepared, versions) -> Facts:
    name = request.get("name", "")
    match request["do"]:
        case "versions":
            return versions
        case "prepare":
            begun = time.perf_counter()
            call, facts = makers[request["what"]](request.get("config"), request)
            call()
            prepared[name] = call
            return facts | {"seconds_to_first": time.perf_counter() - begun}
        case "forget":
            prepared.pop(name, None)
            return {}
        case "time":
            return {"seconds": _time(prepared[name], request["calls"])}
    raise ValueError(f"unknown request {request['do']!r}")


def _time(call: Callable[[], Any], calls: int) -> float:
    """Seconds a call, over `calls` in a row.

    After one that does not count: memory not touched during the others' turns can be slow at first,
    on a virtual machine by as much as a step.
    """
    call()
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begun) / calls
