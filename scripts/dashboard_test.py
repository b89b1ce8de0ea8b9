#!/usr/bin/env python3
"""Drives the dashboard with headless Chromium: scripts/dashboard-test.sh starts the server and calls this.

    dashboard_test.py URL [--report FILE] [--screenshots DIR] [--live RUN_DIR]

Checks that every page renders, that points can be chosen with mouse and keyboard, that images appear, that no request leaves
the origin, that the console stays empty, and, with --live, that an update of the history is shown within 2 seconds.
"""
import argparse
import base64
import json
import pathlib
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

PAGES = ["explorer", "progress", "genes", "workers", "candidates", "benchmarks", "events"]


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


def check_pages(browser, url):
    browser.open(url)
    seconds = browser.wait("document.documentElement.dataset.ready", "the explorer renders")
    paint = browser.run("return performance.getEntriesByType('paint').map(entry => entry.startTime).at(-1) ?? 0")
    print(f"ok: the explorer is ready after {seconds:.2f} s, first paint after {paint:.0f} ms")
    for page in PAGES[1:] + PAGES[:1]:
        browser.run(f"location.hash = '#{page}'")
        browser.wait(f"document.querySelector('nav a[aria-current]')?.hash === '#{page}' && document.getElementById('main').innerText.length > 20", page)
        overflow = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        check(overflow <= 0, f"page {page} renders and does not scroll sideways ({overflow} px)")


def check_choosing(browser, url, images=True):
    browser.wait("document.querySelector('.panel .facts')", "the suggested candidate is shown")
    browser.run("document.querySelector('.plot canvas').focus()")
    keys = lambda *codes: browser.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": [
        {"type": kind, "value": code} for code in codes for kind in ("keyDown", "keyUp")]}]})
    before = browser.run("return document.querySelector('.panel h2').innerText")
    keys("\ue014", "\ue014", "\ue007")
    browser.wait(f"document.querySelector('.panel h2').innerText !== {json.dumps(before)}", "the keyboard chooses another candidate")
    print("ok: the keyboard chooses a candidate")
    point = browser.run("""
        const plot = document.querySelector('.plot'), box = plot.getBoundingClientRect();
        const ring = [...document.querySelectorAll('.over .ring')].at(-1);
        return [box.left + Number(ring.getAttribute('cx')), box.top + Number(ring.getAttribute('cy'))].map(Math.round)""")
    keys("\ue012", "\ue012", "\ue012", "\ue007")
    browser.wait("document.querySelector('.panel .facts')", "panel")
    browser.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "parameters": {"pointerType": "mouse"}, "actions": [
        {"type": "pointerMove", "x": point[0], "y": point[1]}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}]})
    browser.wait("document.querySelector('.panel .facts') && !document.querySelector('.tip').hidden", "the mouse chooses a candidate and shows a tip")
    print("ok: the mouse chooses a candidate")
    if images:
        link = "[...document.querySelectorAll('.panel button')].find(button => button.innerText.includes('nearest with images'))"
        if browser.run(f"return Boolean({link})"):
            browser.run(f"{link}.click()")
        browser.wait("[...document.querySelectorAll('.sheet img')].filter(image => image.complete && image.naturalWidth > 0).length >= 2", "images appear")
        print("ok: images of the candidate and of the uncached model appear")
    check(browser.run("return document.querySelectorAll('.maps svg rect').length") > 10, "the schedule is drawn")


def check_purity(browser, origin):
    errors = [entry for entry in browser.logs("browser") if entry["level"] in ("SEVERE", "WARNING")]
    check(not errors, f"the console is empty {errors[:3]}")
    foreign = set()
    for entry in browser.logs("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith((origin, "data:", "blob:", "chrome:")):
                foreign.add(address)
    check(not foreign, f"no request leaves the origin {sorted(foreign)[:3]}")


def check_live(browser, url, folder):
    browser.open(url + "#events")
    browser.wait("document.documentElement.dataset.ready && document.getElementById('live').innerText === 'live'", "live")
    time.sleep(1.5)  # the first poll learns the version
    database = sqlite3.connect(f"{folder}/history.sqlite")
    database.execute("INSERT INTO events (run_id, at, kind, text) SELECT max(id), ?, 'note', 'seen by the browser' FROM runs", [time.time()])
    database.commit()
    seconds = browser.wait("document.getElementById('main').innerText.includes('seen by the browser')", "a change is shown", 5)
    database.execute("DELETE FROM events WHERE kind = 'note'")
    database.commit()
    check(seconds < 2, f"a change of the history is shown after {seconds:.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--report")
    parser.add_argument("--live")
    parser.add_argument("--screenshots")
    parser.add_argument("--no-images", action="store_true")
    options = parser.parse_args()
    browser = Browser()
    try:
        browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        check_pages(browser, options.url)
        check_choosing(browser, options.url, not options.no_images)
        check_purity(browser, options.url)
        if options.live:
            check_live(browser, options.url, options.live)
        if options.screenshots:
            folder = pathlib.Path(options.screenshots)
            folder.mkdir(parents=True, exist_ok=True)
            for page in PAGES:
                browser.open("about:blank")
                browser.open(f"{options.url}#{page}")
                browser.wait("document.documentElement.dataset.ready", page)
                time.sleep(0.5)
                for width, height in ((390, 844), (1280, 900), (2560, 1440)):
                    for dark in (False, True):
                        browser.screenshot(folder / f"{page}-{width}-{'dark' if dark else 'light'}.png", width, height, dark)
        if options.report:
            address = pathlib.Path(options.report).resolve().as_uri()
            browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
            browser.logs("browser"), browser.logs("performance")
            check_pages(browser, address)
            check_choosing(browser, address, not options.no_images)
            check_purity(browser, "file:")
    finally:
        browser.close()
    print("all checks passed")


if __name__ == "__main__":
    main()
