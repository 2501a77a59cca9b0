"""One file over HTTP: what has come stays, and the next try, or the next call, goes on behind it."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jetforge._version import __version__
from jetforge.errors import DataError, JetforgeError
from jetforge.jets.public.catalogue import PublicFile

_BLOCK = 1 << 20
# A try that brought so many bytes does not count against the tries.
_PROGRESS = 1 << 20
# Fewer bytes than this within the time of a stall are a stall too.
_LEAST = 1024
_LONGEST_PAUSE = 120.0
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes
    ----------
    stall : float
        Seconds without data (or with less than 1 kB of them) after which a connection is given up.
    tries : int
        Failures in a row after which a file is given up; one that brought at least 1 MB is forgiven.
    pause : float
        Seconds before the second try, doubled before each further one, up to two minutes.
    """

    stall: float = 60.0
    tries: int = 5
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not self.stall > 0 or self.tries < 1 or self.pause < 0:
            raise JetforgeError(f"a stall is longer than 0 s, tries are at least 1, a pause is not negative: {self}")


class _Passing(Exception):
    """A trouble that may be gone with the next try."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Note:
    """What is known of a partly fetched file, kept beside it: its address, and how the server tells versions apart."""

    def __init__(self, part: Path) -> None:
        self._path = part.with_name(f"{part.name}.json")
        self.url, self.version = "", ""
        try:
            values = json.loads(self._path.read_text())
            self.url, self.version = str(values["url"]), str(values["version"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def write(self, url: str, version: str) -> None:
        """Note where the file is from."""
        self.url, self.version = url, version
        self._path.write_text(json.dumps({"url": url, "version": version}))

    def remove(self) -> None:
        """Forget."""
        self._path.unlink(missing_ok=True)


class Transfer:
    """The fetching of one file.

    Parameters
    ----------
    file
        What to fetch.
    part
        Where it grows.
    out
        `part`, open for reading and writing.
    patience
        How long to wait.
    on_progress
        Called with the bytes that are there, and with those of the whole file (None if nobody knows).
    """

    def __init__(
        self, file: PublicFile, part: Path, out: IO[bytes], patience: Patience,
        on_progress: Callable[[int, int | None], None],
    ) -> None:  # fmt: skip
        self._file, self._part, self._out = file, part, out
        self._patience, self._on_progress = patience, on_progress
        self._note = Note(part)
        self._opener = _opener()

    def run(self) -> None:
        """Fetch what is missing.

        Raises
        ------
        DataError
            If the server has not the file, or another one than the catalogue's, or fails again and again.
        JetforgeError
            If the disk is full or cannot be written.
        """
        self._begin()
        if self._file.size is not None and self._length() == self._file.size:
            return
        failures, mark = 0, self._length()
        while True:
            try:
                self._receive()
                self._sync()
                return
            except _Passing as trouble:
                reached = self._length()
                if reached - mark >= _PROGRESS:
                    failures, mark = 0, reached
                failures += 1
                if failures >= self._patience.tries:
                    raise DataError(
                        f"{self._file.url}: {trouble} ({failures} tries); what has come is kept in {self._part}: run "
                        "the same command again to go on"
                    ) from None
                pause = self._patience.pause * 2 ** (failures - 1)
                time.sleep(min(max(pause, trouble.wait), _LONGEST_PAUSE))

    def _begin(self) -> None:
        """Keep what an earlier call left, if it is of the same file and a mixture of two versions would be noticed."""
        known = self._note.url == self._file.url and bool(self._note.version or self._file.checksum)
        if not known or self._length() > (self._file.size or self._length()):
            self._start_over()

    def _length(self) -> int:
        return self._out.seek(0, os.SEEK_END)

    def _start_over(self) -> None:
        self._out.seek(0)
        self._out.truncate()

    def _receive(self) -> None:
        start = self._length()
        headers = {"User-Agent": f"jetforge/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self._note.version:
                headers["If-Range"] = self._note.version
        request = urllib.request.Request(self._file.url, headers=headers)
        try:
            with self._opener.open(request, timeout=self._patience.stall) as response:
                total = self._whole(response, start)
                if total is None or self._length() < total:
                    self._copy(response, total)
        except urllib.error.HTTPError as error:
            with error:
                if self._is_complete(error, start):
                    return
                self._refuse(error)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError) or "unknown url type" in str(error.reason):
                raise DataError(f"{self._file.url}: {error.reason}; see the page of the data set") from None
            raise _Passing(_said(error.reason)) from None
        except (http.client.HTTPException, OSError) as error:
            raise _Passing(_said(error)) from None

    def _whole(self, response: Any, start: int) -> int | None:
        """Prepare for what the server sends, and return the bytes of the whole file."""
        version = _version_of(response.headers)
        behind = bool(start) and response.status == http.client.PARTIAL_CONTENT
        if behind:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            changed = self._note.version and version not in ("", self._note.version)
            if given is None or int(given[1]) != start or changed:
                self._start_over()
                raise _Passing("the server sends another part than it was asked for")
            length = given[2]
        elif response.status == http.client.OK:
            length = response.headers.get("Content-Length", "")
        else:
            raise _Passing(f"the server answers {response.status} {response.reason}")
        total = int(length) if length.isdecimal() else None
        self._check(response, total)
        if not behind:
            # The server knows no parts, or the file has changed since. What is here goes only after the check.
            self._start_over()
            self._on_disk(lambda: self._note.write(self._file.url, version))
        return self._file.size if total is None else total

    def _check(self, response: Any, total: int | None) -> None:
        kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
        if kind == "text/html" and not self._file.name.lower().endswith((".html", ".htm")):
            raise DataError(f"{self._file.url}: a web page comes instead of {self._file.name}: open it in a browser")
        if total is None:
            return
        if self._file.size is not None and total != self._file.size:
            raise DataError(
                f"{self._file.url}: the server has {total:,} bytes, the catalogue says {self._file.size:,}: another "
                "file than the published one; see the page of the data set"
            )
        check_space(self._part.parent, total - self._length(), self._file.name)

    def _copy(self, response: Any, total: int | None) -> None:
        done = self._length()
        self._on_progress(done, total)
        limit = self._file.size if self._file.size is not None else total
        since, before = time.monotonic(), done
        while block := response.read1(_BLOCK):
            self._on_disk(lambda block=block: self._put(block))  # type: ignore[misc]
            done += len(block)
            if limit is not None and done > limit:
                self._start_over()
                raise DataError(f"{self._file.url}: more than {limit:,} bytes come; see the page of the data set")
            self._on_progress(done, total)
            if (now := time.monotonic()) - since > self._patience.stall:
                if done - before < _LEAST:
                    raise _Passing(f"the server stalls, {done - before} bytes in {now - since:.0f} s")
                since, before = now, done
        if total is not None and done < total:
            raise _Passing(f"the connection ended after {done:,} of {total:,} bytes")

    def _put(self, block: bytes) -> None:
        self._out.write(block)
        self._out.flush()

    def _sync(self) -> None:
        self._on_disk(lambda: os.fsync(self._out.fileno()))

    def _on_disk(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except OSError as error:
            cure = "free space" if error.errno in _FULL else "choose another place"
            raise JetforgeError(
                f"cannot write {self._part}: {error.strerror or error}; {cure}, then run again to go on"
            ) from None

    def _is_complete(self, error: urllib.error.HTTPError, start: int) -> bool:
        """Say whether nothing is left to be sent; if the file has become shorter than what is here, begin anew."""
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            return False
        given = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", "").strip())
        if given is not None and int(given[1]) == start and self._file.size in (None, start):
            return True
        self._start_over()
        raise _Passing("the server has fewer bytes than have come")

    def _refuse(self, error: urllib.error.HTTPError) -> None:
        answer = f"the server answers {error.code} {error.reason}"
        if error.code in _PASSING:
            wait = error.headers.get("Retry-After", "")
            raise _Passing(answer, float(wait) if wait.isdecimal() else 0.0)
        raise DataError(f"{self._file.url}: {answer}; see the page of the data set for where the file is now")


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk has no room for.

    Parameters
    ----------
    folder
        Where it is to be written.
    needed
        Bytes.
    what
        Named in the error.

    Raises
    ------
    JetforgeError
        If fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise JetforgeError(
            f"{folder}: {what} needs {needed / 1e9:,.2f} GB more, {free / 1e9:,.2f} GB are free; free space, choose "
            "another folder, or fewer files"
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from an encrypted connection to one that is not."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise urllib.error.HTTPError(req.full_url, code, f"leads to {newurl}, which is not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return what speaks HTTP and HTTPS, through the proxies of the environment, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(), _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _version_of(headers: Any) -> str:
    """Return what ``If-Range`` may hold: a strong entity tag, or the time of the last change."""
    tag = str(headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(headers.get("Last-Modified", ""))


def _said(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "the server stalls"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended too early"
    return f"{getattr(error, 'strerror', None) or error or type(error).__name__}".lower()
