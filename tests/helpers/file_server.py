"""A web server on this machine that answers as told: well, or as broken servers do."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler", bytes], None]


class FileServer:
    """What the server holds, what it is told to do, and what it was asked for.

    `files` maps a path to content. `answers` maps a path to what the next requests get, one each; after these, and
    elsewhere, files are served well. `asked` has the path and the range of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str]] = []
        self.tagged = True
        self.closing = threading.Event()
        self.url = ""

    def ranges(self, path: str) -> list[str]:
        return [asked for where, asked in self.asked if where == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        held: FileServer = self.server.held
        held.asked.append((self.path, self.headers.get("Range", "")))
        self.close_connection = True
        content = held.files.get(self.path)
        waiting = held.answers.get(self.path, [])
        answer = waiting.pop(0) if waiting else well
        # The client may have gone away.
        with contextlib.suppress(ConnectionError):
            if content is None:
                status(404)(self, b"")
            else:
                answer(self, content)

    def log_message(self, *arguments: Any) -> None:
        pass

    def begin(self, code: int, **headers: Any) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def begin_file(self, content: bytes, *, parts: bool = True) -> bytes:
        """Send the headers of a file, or of the part that was asked for, and return what has to follow."""
        tag = f'"{hash(content)}"'
        tags = {"ETag": tag} if self.server.held.tagged else {}
        asked = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if not parts or not asked or self.headers.get("If-Range", tag) != tag:
            self.begin(200, Content_Length=len(content), **tags)
            return content
        start = int(asked)
        if start >= len(content):
            self.begin(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return b""
        said = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.begin(206, Content_Range=said, Content_Length=len(content) - start, **tags)
        return content[start:]


def well(handler: Handler, content: bytes) -> None:
    handler.wfile.write(handler.begin_file(content))


def without_parts(handler: Handler, content: bytes) -> None:
    handler.wfile.write(handler.begin_file(content, parts=False))


def truncated(count: int, *, parts: bool = True) -> Answer:
    def answer(handler: Handler, content: bytes) -> None:
        handler.wfile.write(handler.begin_file(content, parts=parts)[:count])

    return answer


def stalled(count: int) -> Answer:
    """Send so many bytes, then nothing until the server is closed."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.wfile.write(handler.begin_file(content)[:count])
        handler.wfile.flush()
        handler.server.held.closing.wait(20)

    return answer


def dripping(seconds: float) -> Answer:
    def answer(handler: Handler, content: bytes) -> None:
        for byte in handler.begin_file(content):
            handler.wfile.write(bytes([byte]))
            if handler.server.held.closing.wait(seconds):
                return

    return answer


def of_length(count: int) -> Answer:
    """Claim another length than the truth."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.begin(200, Content_Length=count)
        handler.wfile.write(content[:count])

    return answer


def of_no_length(handler: Handler, content: bytes) -> None:
    handler.begin(200)
    handler.wfile.write(content)


def other(content: bytes) -> Answer:
    return lambda handler, _: well(handler, content)


def part_from(start: int) -> Answer:
    """Send another part than was asked for."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.begin(
            206, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}", Content_Length=len(content)
        )
        handler.wfile.write(content)

    return answer


def status(code: int, body: bytes = b"sorry", **headers: Any) -> Answer:
    def answer(handler: Handler, _: bytes) -> None:
        handler.begin(code, Content_Length=len(body), **headers)
        handler.wfile.write(body)

    return answer


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    held = FileServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.held = held  # type: ignore[attr-defined]
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield held
    finally:
        held.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
