"""A headless Chromium, driven by the WebDriver protocol through chromedriver."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

OPTIONS = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking
             --disable-component-update --disable-sync --window-size=1300,900"""


def is_there():
    return bool(shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome")))


class Browser:
    def __init__(self, port):
        self._at = f"http://127.0.0.1:{port}"
        wanted = {"goog:chromeOptions": {"args": OPTIONS.split()}, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = f"/session/{self._call('POST', '/session', capabilities={'alwaysMatch': wanted})['sessionId']}"

    def open(self, path):
        self._call("POST", self._session + "/url", url=Path(path).as_uri())

    def run(self, script):
        return self._call("POST", self._session + "/execute/sync", script=script, args=[])

    def wait_until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.1)

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self._call("GET", self._session + "/screenshot")))

    def errors(self):
        entries = self._call("POST", self._session + "/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self):
        self._call("DELETE", self._session)

    def _call(self, method, path, **body):
        content = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._at + path, content, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]


@contextmanager
def chromium():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        browser = Browser(port)
        yield browser
        browser.close()
    finally:
        driver.terminate()
        driver.wait()


def _wait_for(port):
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
