"""A process of its own for work that a damaged file may crash, hang or let take all memory: one clear error is left."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from jetforge.errors import DataError, JetforgeError

# Address space that the work may take on top of what the libraries reserve.
_MEMORY = 6 << 30
_START_SECONDS = 120.0
_TOO_LARGE = "too much memory"
_HEADER = struct.Struct("<Q")


class Guard:
    """Runs module-level functions in a process of its own, which is started when first needed.

    Use it as a context; the process ends with it. Results and arguments are pickled between the two processes.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Any], *arguments: Any, what: str, seconds: float) -> Any:
        """Return what a function returns.

        Parameters
        ----------
        function
            Module-level; looked up by its name in the other process.
        *arguments
            For the function.
        what
            Named in errors: usually a file.
        seconds
            Longest time that it may take.

        Raises
        ------
        DataError
            If the process ends, takes too long or too much memory, or the function raises what is no `JetforgeError`.
        JetforgeError
            What the function raises.
        """
        with self._lock:  # one pipe: one question at a time
            return self._call(function, arguments, what, seconds)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], what: str, seconds: float) -> Any:
        child = self._started()
        try:
            _send(child.stdin, (function.__module__, function.__qualname__, arguments))
            kind, value = self._answer(child, time.monotonic() + seconds)
        except (EOFError, BrokenPipeError):
            code = child.wait()
            self.close()
            if code == -signal.SIGKILL:
                raise DataError(f"{what}: the program that reads it was killed: out of memory, or damaged") from None
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
            raise DataError(f"{what}: reading it ends the program ({reason}): damaged; copy the file again") from None
        except TimeoutError:
            self.close()
            raise DataError(f"{what}: reading it does not end (given up after {seconds:g} s): damaged") from None
        except BaseException:
            self.close()
            raise
        if kind == "done":
            return value
        if kind == "refused":
            raise value
        raise cannot_be_read(what, value)

    def call_if_started(self, function: Callable[..., Any], *arguments: Any, seconds: float = 30.0) -> None:
        """Call a function where the process runs; if that fails, end the process."""
        if self._child is not None and self._child.poll() is None:
            try:
                self.call(function, *arguments, what="the reading process", seconds=seconds)
            except JetforgeError:
                self.close()

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            # -P: a file in the user's directory that is named as one of the libraries is not imported instead of it.
            command = [sys.executable, "-P", "-m", "jetforge.jets.guard"]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            try:
                self._answer(self._child, time.monotonic() + _START_SECONDS)
            except (EOFError, TimeoutError):
                self.close()
                raise JetforgeError(
                    f"a process to read files in cannot be started; see what {' '.join(command)} says"
                ) from None
        return self._child

    @staticmethod
    def _answer(child: subprocess.Popen[bytes], deadline: float) -> Any:
        assert child.stdout is not None
        pipe = child.stdout.fileno()
        (size,) = _HEADER.unpack(_take(pipe, _HEADER.size, deadline))
        return pickle.loads(_take(pipe, size, deadline))


def cannot_be_read(what: str, reason: str) -> DataError:
    """Return the error for what a library could not read, and why."""
    if reason == _TOO_LARGE:
        return DataError(f"{what}: reading it takes too much memory: fewer rows at a time (--part-jets), or damaged")
    return DataError(f"{what}: cannot be read ({reason}): damaged, or not what it seems")


_shared: Guard | None = None


def shared_guard() -> Guard:
    """Return the guard that this process keeps: its child starts once, and ends with this process."""
    global _shared
    if _shared is None:
        _shared = Guard()
        atexit.register(_shared.close)
    return _shared


def _take(pipe: int, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError
        block = os.read(pipe, min(size - len(data), 1 << 20))
        if not block:
            raise EOFError
        data += block
    return bytes(data)


def _send(pipe: Any, value: Any) -> None:
    data = pickle.dumps(value)
    pipe.write(_HEADER.pack(len(data)) + data)
    pipe.flush()


def call_plainly(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Return ``done`` and a result, ``refused`` and a `JetforgeError`, or ``broken`` and any other error in words."""
    try:
        return "done", function(*arguments)
    except JetforgeError as error:
        return "refused", error
    except MemoryError:
        return "broken", _TOO_LARGE
    except Exception as error:  # a damaged file makes libraries raise anything
        return "broken", f"{type(error).__name__}: {str(error).strip().split(chr(10))[0][:120]}"


def limit_memory(extra: int = _MEMORY) -> None:
    """Let this process take no more than so many bytes of address space on top of what it has now."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _serve() -> None:
    """Answer calls until the caller closes its end."""
    # Ctrl-C is answered by the caller, who ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between the answers.
    os.dup2(2, 1)
    limited = False
    _send(answers, "ready")
    while True:
        header = sys.stdin.buffer.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        module, name, arguments = pickle.loads(sys.stdin.buffer.read(_HEADER.unpack(header)[0]))
        function = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        if not limited:
            limit_memory()
            limited = True
        _send(answers, call_plainly(function, arguments))  # type: ignore[arg-type]


if __name__ == "__main__":
    _serve()
