"""A headless Chromium, asked by its own DevTools protocol over a pair of pipes: no port, no driver, no profile left."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

Content: TypeAlias = "dict[str, object]"

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A busy machine may take long to start a browser; what is waited for is an answer, not this time.
_PATIENCE_SECONDS: Final = 120.0
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)


# The browser reads from 3 and writes to 4; our pipes have other numbers, which may be these two the other way round.
_PUT_PIPES: Final = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_chromium() -> str | None:
    """The browser on this machine's path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass(slots=True)
class Page:
    """One page of the browser: what it asked for, what it complained of, and what it answers."""

    _reading: int
    _writing: int
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: int = 0
    _session: str | None = None
    _number: int = 0
    _buffer: bytes = b""
    _events: list[Content] = field(default_factory=list)

    def ask(self, method: str, **parameters: object) -> Content:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._number += 1
        message: Content = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result = answer["result"]
                assert isinstance(result, dict)
                return result
            self._hear(answer)

    def wait_for(self, method: str) -> None:
        """Wait for an event; one that has come already counts."""
        while not any(event.get("method") == method for event in self._events):
            self._hear(self._receive())
        self._events.clear()

    def attach(self) -> None:
        """Open an empty page and listen to it."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Load a page to its end."""
        self._events.clear()
        self.ask("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")

    def value(self, script: str) -> object:
        """What an expression comes to in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result.get("value")

    def screenshot(self, file: Path, top: int = 0, height: int = 1400, width: int = 1100) -> None:
        """Keep a part of the page as a picture."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        answer = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(str(answer["data"])))

    def print_to(self, file: Path) -> bytes:
        """Print the page as its style says; the PDF."""
        answer = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        content = base64.b64decode(str(answer["data"]))
        file.write_bytes(content)
        return content

    def _receive(self) -> Content:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], max(give_up - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            block = os.read(self._reading, 1 << 20)
            assert block, "the browser has ended"
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _hear(self, event: Content) -> None:
        self._events.append(event)
        method, content = event.get("method"), event.get("params")
        if not isinstance(content, dict):
            return
        if method == "Network.requestWillBeSent":
            request = content["request"]
            self.requests.append(str(request["url"]))
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(content))
        elif method == "Page.javascriptDialogOpening":
            self.dialogs += 1


@contextmanager
def browser(program: str) -> Iterator[Page]:
    """A browser with an empty page, ended and its profile deleted at the end."""
    to_read, browser_writes = os.pipe()
    browser_reads, to_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        words = [program, *_FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", _PUT_PIPES, str(browser_reads), str(browser_writes), *words],
            pass_fds=(browser_reads, browser_writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(browser_reads)
        os.close(browser_writes)
        page = Page(to_read, to_write)
        try:
            page.attach()
            yield page
        finally:
            with suppress(AssertionError, OSError):
                page._session = None
                page.ask("Browser.close")
            os.close(to_write)
            os.close(to_read)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
