# SPDX-License-Identifier: MIT
"""How do tests look at a page as people do? In Chromium without a window, which takes orders over two pipes.

Source: the Chrome DevTools Protocol, and Chromium's --remote-debugging-pipe: messages of JSON, a zero byte behind each.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0  # seconds for an answer: a machine may be busy
SWITCHES = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
    # Nothing is looked for on the web, and pages are the tests' own: root may have no sandbox.
    *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# The browser reads orders from descriptor 3 and answers on 4.
LAUNCH = (
    "import os, sys; r, w = (os.dup(os.dup(os.dup(int(n)))) for n in sys.argv[1:3]);"
    "os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def find_chromium() -> str | None:
    """The program: $CHROMIUM, else the first of NAMES in $PATH."""
    if named := os.environ.get("CHROMIUM"):
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A running Chromium. A context manager; ``folder`` is for what it keeps."""

    def __init__(self, program: str, folder: Path) -> None:
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        command = [sys.executable, "-c", LAUNCH, str(read), str(write)]
        with (folder / "browser.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, program, *SWITCHES, f"--user-data-dir={folder}", "about:blank"],
                pass_fds=(read, write),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"HOME": str(folder)},
            )
        os.close(read)
        os.close(write)
        self._number = 0
        self._received = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *problem: object) -> None:
        os.close(self._out)  # it ends when nobody gives orders any more
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def order(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Give an order and wait for its result; what else is told meanwhile is kept in ``events``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        """The next message."""
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._in, 1 << 16) if ready else b""
            assert piece, "the browser has ended" if ready else f"no answer from the browser within {PATIENCE:g} s"
            self._received += piece
        text, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, path: Path, width: int = 1200, height: int = 900, *, dark: bool = False) -> "Page":
        """A file as a page in a window of that size."""
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        session = self.order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.order(f"{domain}.enable")
        page.order(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.order("Emulation.setEmulatedMedia", features=[scheme])
        page.order("Page.navigate", url=path.absolute().as_uri())
        while not any(page.told("Page.loadEventFired")):
            self.events.append(self.receive())
        return page


class Page:
    """A page in a browser's window."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.order(method, self._session, **parameters)

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of a kind so far."""
        events = self._browser.events
        return [e["params"] for e in events if e.get("method") == method and e.get("sessionId") == self._session]

    @property
    def errors(self) -> list[Any]:
        """What went wrong in scripts, and what the console was told as an error."""
        self.evaluate("0")  # what was told before is here then
        logged = [told["entry"] for told in self.told("Log.entryAdded") if told["entry"]["level"] == "error"]
        called = [told for told in self.told("Runtime.consoleAPICalled") if told["type"] in ("error", "assert")]
        return [*self.told("Runtime.exceptionThrown"), *logged, *called]

    @property
    def requested(self) -> list[str]:
        """Addresses of all that was loaded."""
        return [str(told["request"]["url"]) for told in self.told("Network.requestWillBeSent")]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON knows it."""
        found = self.order("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key by its name: Tab, Enter, ArrowDown."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        code = codes[key]
        more: Mapping[str, Any] = {"text": "\r"} if key == "Enter" else {}
        keys = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.order("Input.dispatchKeyEvent", type="keyDown", **keys, **more)
        self.order("Input.dispatchKeyEvent", type="keyUp", **keys)

    def click(self, selector: str) -> None:
        """Press the mouse on an element, wherever it is on the page."""
        quoted = json.dumps(selector)
        self.evaluate(f"document.querySelector({quoted}).scrollIntoView({{block: 'center'}})")
        box = self.evaluate(f"document.querySelector({quoted}).getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        self.order("Input.dispatchMouseEvent", type="mousePressed", **place)
        self.order("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def picture(self) -> bytes:
        """What the window shows, as a PNG."""
        return base64.b64decode(self.order("Page.captureScreenshot", format="png")["data"])
