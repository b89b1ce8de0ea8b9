"""Headless Chromium for dashboard_test.py, and the checks' verdicts."""

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request


class Browser:
    """A session of chromedriver (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, port=9515):
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        for _ in range(50):
            try:
                self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            return json.load(urllib.request.urlopen(request, timeout=60))["value"]
        except urllib.error.HTTPError as error:
            sys.exit(f"chromedriver: {error.read().decode()[:600]}")

    def call(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def command(self, name, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def wait(self, condition, what, seconds=15.0):
        start = time.monotonic()
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() - start > seconds:
                sys.exit(f"FAILED: {what}: {condition} after {seconds} s")
            time.sleep(0.02)
        return time.monotonic() - start

    def screenshot(self, path, width, height, dark):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        time.sleep(0.5)
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def logs(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def close(self):
        self.call("DELETE", "")
        self.driver.terminate()


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def mouse(browser, *moves):
    """Presses at the first position, goes to the others and releases; positions in the window."""
    first, *rest = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 30} for x, y in moves]
    browser.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "parameters": {"pointerType": "mouse"}, "actions": [
        first, {"type": "pointerDown", "button": 0}, *rest, {"type": "pointerUp", "button": 0}]}]})
