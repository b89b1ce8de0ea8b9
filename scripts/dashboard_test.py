#!/usr/bin/env python3
"""Drives the dashboard with headless Chromium: scripts/dashboard-test.sh starts the server and calls this.

    dashboard_test.py URL [--report FILE] [--screenshots DIR] [--live RUN_DIR] [--running URL RUN_DIR PID] [--large URL] [--process PID]

Checks that every page renders, that points can be chosen with mouse and keyboard, that a box selects points, that images appear, that the
front never goes down, that no request leaves the origin and that the console stays empty. With --live, an update of the history must be
shown within 2 seconds; with --running, the results of a run in progress, and that it is interrupted once its coordinator is killed; with --large, interactions with 40,000 candidates must take less
than 100 ms; with --process, the server is held to its limits by slow readers and by a thousand streams.
"""
import argparse
import json
import os
import pathlib
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request

from dashboard_browser import Browser, check, mouse

PAGES = ["explorer", "progress", "genes", "workers", "candidates", "benchmarks", "events"]


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
    # Towards the middle of the front: at its end an arrow key stays where it is.
    arrow = browser.run("""const { explorer, runs: [run] } = window.ecad;
        return run.front.indexOf(run.byID.get(explorer.chosen[0].id)) < run.front.length / 2 ? arguments[0] : arguments[1]""", "\ue014", "\ue012")
    keys(arrow, arrow, "\ue007")
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
        browser.run("document.querySelector('.sheet button.picture').click()")
        browser.wait("document.querySelectorAll('dialog[open] .gallery img').length >= 2", "a click enlarges the images of a prompt")
        caption = browser.run("return document.querySelector('dialog p').innerText")
        keys("\ue014")
        browser.wait(f"document.querySelector('dialog p').innerText !== {json.dumps(caption)}", "an arrow key goes to the next prompt")
        keys("\ue00c")
        browser.wait("!document.querySelector('dialog')", "Escape closes the images")
        print("ok: images are enlarged, beside the uncached ones")
    check(browser.run("return document.querySelectorAll('.maps svg rect').length") > 10, "the schedule is drawn")
    browser.run("const { explorer, runs: [run] } = window.ecad; explorer.choose(run, run.id[run.front[0]]); explorer.choose(run, run.id[run.front.at(-1)], true)")
    address = browser.run("return location.href")
    browser.wait("document.querySelectorAll('.panel h2').length === 2", "two candidates are compared")
    titles = browser.run("return [...document.querySelectorAll('.panel h2')].map(title => title.innerText)")
    browser.open("about:blank")
    browser.open(address)
    browser.wait(f"JSON.stringify([...document.querySelectorAll('.panel h2')].map(title => title.innerText)) === {json.dumps(json.dumps(titles, separators=(',', ':')))}", "the address shows the same comparison")
    print(f"ok: {address.split('#')[1]} shows the comparison of {titles[0]} and {titles[1].split(chr(10))[0]}")


def check_limit(browser, url):
    """A limit that is typed shows the best schedule within it at once, and the address leads back to it."""
    browser.open("about:blank")
    browser.open(url)
    browser.wait("document.querySelector('.panel .facts')", "the suggested candidate is shown")
    limits = browser.run("""const [run] = window.ecad.runs;
        return [...new Set(run.front.map(index => Math.ceil(100 * run.time(index))))].slice(1, 4)""")
    for limit in limits:
        browser.run("const field = document.getElementById('limit'); field.focus(); field.select()")
        browser.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": kind, "value": digit} for digit in str(limit) for kind in ("keyDown", "keyUp")]}]})
        best = browser.run("""const [run] = window.ecad.runs;
            return run.id[[...run.id.keys()].filter(index => run.time(index) <= arguments[0] / 100).sort((a, b) => run.quality[b] - run.quality[a])[0]]""", limit)
        browser.wait(f"document.querySelector('.panel h2').innerText === 'Candidate {best}'", f"the panel shows the best in at most {limit} % of the time")
        browser.wait(f"location.hash === '#explorer/limit/{limit}'", "the address names the limit")
    print(f"ok: a typed limit shows the best schedule: {limits} % of the time")
    address = browser.run("return location.href")
    browser.open("about:blank")
    browser.open(address)
    browser.wait(f"document.getElementById('limit')?.value === '{limits[-1]}' && document.querySelector('.panel h2')?.innerText === 'Candidate {best}'", "the address shows the same limit")
    browser.run("document.getElementById('limit').value = ''; document.getElementById('limit').dispatchEvent(new Event('input'))")
    browser.wait("document.querySelector('.answer').innerText === 'enter a number above 0'", "an empty limit")
    browser.open("about:blank")
    browser.open(url)
    browser.wait("document.querySelector('.panel .facts')", "the suggested candidate is shown")


def check_header(browser, what):
    """All tabs are in view on a desktop, and what stands beside them does not overlap, however long it is."""
    for width in (1024, 1280, 390):
        browser.command("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600)
        time.sleep(0.2)
        hidden, boxes = browser.run("""const nav = document.getElementById('tabs');
            const shown = [...document.querySelectorAll('header strong, #title b, #title .badge, #live, #theme')].map(node => node.getBoundingClientRect())
                .filter(box => box.width && box.top < document.querySelector('header').getBoundingClientRect().top + 40);
            return [nav.scrollWidth - nav.clientWidth, shown.map(box => [box.left, box.right])]""")
        boxes.sort()
        check(width < 600 or hidden <= 0, f"{what}: at {width} pixels all tabs are in view ({hidden} px are not)")
        check(all(a[1] <= b[0] + 1 for a, b in zip(boxes, boxes[1:])) and boxes[-1][1] <= width, f"{what}: at {width} pixels nothing in the header overlaps {boxes}")
    browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)


def check_front(browser):
    """The drawn front is a front over the shown axes, whatever the axis."""
    choose = lambda value: browser.run("""const axis = document.querySelector("select[aria-label='Horizontal axis']");
        axis.value = arguments[0]; axis.dispatchEvent(new Event('change'))""", value)
    for axis, sign in (("speed", -1), ("gmacs", 1), ("time", 1)):
        choose(axis)
        time.sleep(0.3)
        line = browser.run("return window.ecad.explorer.scatter.lines[0].points.map(point => [point.x, point.y])")
        ordered = sorted(line, key=lambda point: sign * point[0])
        check(len(line) > 1 and all(a[1] <= b[1] for a, b in zip(ordered, ordered[1:])), f"the front over {axis} rises with its cost ({len(line)} members)")


    check(browser.run("""return window.ecad.explorer.scatter.points.filter(point => point.style.shape === 'triangle')
        .every(point => point.run.origin[point.index].startsWith('warm-start'))"""), "only schedules of other runs are drawn as imported")
    browser.run("""const { scatter } = window.ecad.explorer; scatter.zoomBy(0.001); window.labels = [...scatter.frame.querySelectorAll('text.tick')].map(text => [text.getAttribute('text-anchor'), text.textContent]);
        scatter.reset()""")
    labels = [tuple(label) for label in browser.run("return window.labels")]
    check(len(labels) > 4 and len(set(labels)) == len(labels), f"zoomed far in, no two ticks have the same label: {[text for _, text in labels][:4]}")


def check_ticks(browser, url):
    """After one generation, and over an hour: ticks are whole numbers and round times."""
    browser.open("about:blank")
    browser.open(url + "#progress")
    browser.wait("document.querySelector('#main .chart text.tick')", "progress")
    ticks = browser.run("""return (async () => {
        const { runs: [run], current } = window.ecad, page = await run.page('progress');
        const first = Object.fromEntries(Object.entries(page).map(([name, value]) => [name, Array.isArray(value) ? value.slice(0, 1) : value]));
        run.page = async () => ({ ...first, interval: 60, throughput: [[3960, 1], [3900, 1], [60, 1], [0, 1]] });
        await current.update();
        for (let waits = 0; waits < 100; waits++) {
            await new Promise(drawn => setTimeout(drawn, 100));
            if ([...document.querySelectorAll('#main .chart')].every(chart => chart.querySelector("text.tick[text-anchor='middle']"))) break;
        }
        return [...document.querySelectorAll('#main .chart')].map(chart => [...chart.querySelectorAll("text.tick[text-anchor='middle']")].map(text => text.textContent));
    })()""")
    check(ticks[0] and len(set(ticks[0])) == len(ticks[0]) and all(text.isdigit() for text in ticks[0]), f"the ticks of one generation are whole numbers: {ticks[0]}")
    check(ticks[1][:3] == ["0 s", "10 min", "20 min"], f"the ticks of an hour are round times: {ticks[1]}")
    browser.open("about:blank")
    browser.open(url)
    browser.wait("document.querySelector('.panel .facts')", "the suggested candidate is shown")


def check_brushing(browser, url):
    box = browser.run("const box = document.querySelector('.plot').getBoundingClientRect(); return [box.left, box.top, box.width, box.height]")
    browser.run("[...document.querySelectorAll('.controls button')].find(button => button.innerText === 'Select').click()")
    mouse(browser, (box[0] + 70, box[1] + 20), (box[0] + box[2] / 2, box[1] + box[3] / 2), (box[0] + box[2] - 30, box[1] + box[3] - 60))
    browser.wait("document.querySelector('.picked a')", "a box selects candidates")
    count = int("".join(filter(str.isdigit, browser.run("return document.querySelector('.picked a').innerText"))))
    check(count > 1, f"a box selects {count} candidates")
    browser.run("document.querySelector('.picked a').click()")
    browser.wait("document.querySelector('#main select')?.value === 'selection' && document.querySelectorAll('.maps svg rect').length > 10", "gene usage of the selection")
    print("ok: the gene usage of the selection is shown")
    browser.run("location.hash = '#explorer'")
    browser.wait("document.querySelector('.picked button')", "the explorer")
    browser.run("document.querySelector('.picked button').click()")
    browser.run("[...document.querySelectorAll('.controls button')].find(button => button.innerText === 'Select').click()")


def check_running(browser, url, folder):
    """The results of a coordinator at work arrive within two seconds."""
    browser.open("about:blank")
    browser.logs("performance")
    browser.open(url)
    browser.wait("document.documentElement.dataset.ready && document.getElementById('live').innerText === 'live'", "live", 30)
    shown = lambda: browser.run("return window.ecad.runs[0].count")
    count = lambda db: db.execute("SELECT count(*) FROM evaluations e JOIN candidates c ON c.id = e.candidate_id WHERE c.generation IS NOT NULL").fetchone()[0]
    delays = []
    with sqlite3.connect(f"file:{folder}/history.sqlite?mode=ro", uri=True) as db:
        is_running = lambda: db.execute("SELECT max(status) FROM runs").fetchone()[0] == "running"
        while is_running() and len(delays) < 5:
            before = count(db)
            while count(db) == before and is_running():
                time.sleep(0.02)
            stored, start = count(db), time.monotonic()
            while shown() < stored:
                if time.monotonic() - start > 10:
                    sys.exit(f"FAILED: {stored} evaluations are stored, {shown()} are shown after 10 s")
                time.sleep(0.02)
            delays.append(time.monotonic() - start)
    following = "window.ecad.explorer.isFollowing && document.querySelector('.answer').innerText.startsWith(`candidate ${window.ecad.explorer.chosen[0]?.id}:`)"
    browser.wait(following, "the panel follows the best schedule while results arrive")
    check(len(delays) >= 2 and max(delays) < 2, f"results of a run in progress are shown after {', '.join(f'{delay:.2f}' for delay in delays)} s")


def check_controls(browser):
    """What a reader has opened or scrolled stays as it is while results arrive."""
    browser.run("location.hash = '#progress'")
    browser.wait("document.querySelector('#main .tiles')", "progress")
    browser.run("window.kept = document.querySelector('#main select'); kept.value = 'images'; kept.dispatchEvent(new Event('change'))")
    wait_for_results(browser, 3)
    check(browser.run("return kept.isConnected && kept.value === 'images' && document.querySelectorAll('#main select').length === 1"), "a choice survives new results")
    browser.run("location.hash = '#events'")
    browser.wait("document.querySelector('#main details')", "events")
    browser.run("document.querySelector('#main details').open = true")
    wait_for_results(browser, 3)
    check(browser.run("return document.querySelector('#main details').open"), "an unfolded configuration stays unfolded")
    browser.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    browser.run("location.hash = '#workers'")
    browser.wait("[...document.querySelectorAll('#main .scroll')].some(region => region.scrollWidth > region.clientWidth)", "workers")
    browser.run("document.querySelector('#main .scroll').scrollLeft = 80")
    wait_for_results(browser, 3)
    check(browser.run("return document.querySelector('#main .scroll').scrollLeft") == 80, "a scrolled table stays scrolled")
    browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)


def wait_for_results(browser, times):
    for _ in range(times):
        count = browser.run("return window.ecad.runs[0].count")
        browser.wait(f"window.ecad.runs[0].count > {count}", "results arrive")


def check_interrupted(browser, coordinator):
    """A killed coordinator leaves the status `running` in the history; only its lock tells that it is gone."""
    browser.run("location.hash = '#progress'")
    browser.wait("document.querySelector('#title .badge').innerText === 'running'", "the run is shown as running")
    os.kill(coordinator, signal.SIGKILL)
    seconds = browser.wait("document.querySelector('#title .badge').innerText === 'interrupted' && /interrupted, last result \\d{4}-/.test(document.getElementById('main').innerText)",
                           "the run is shown as interrupted, with the time of its last result", 5)
    check(seconds < 2, f"a killed coordinator's run is shown as interrupted after {seconds:.2f} s")
    check_header(browser, "an interrupted run")


def check_interaction(browser, url):
    """Handlers with 40,000 candidates: milliseconds until the page is drawn."""
    browser.open("about:blank")
    browser.logs("performance")
    browser.open(url)
    browser.wait("document.documentElement.dataset.ready", "ready", 60)
    browser.wait("document.querySelector('.panel .facts')", "the suggested candidate")
    paint = browser.run("return performance.getEntriesByType('paint').map(entry => entry.startTime).at(-1) ?? 0")
    check(paint < 1000, f"the first paint is after {paint:.0f} ms")
    actions = {
        "hover": "const point = explorer.scatter.points[turn * 997 % explorer.scatter.points.length]; "
                 "canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + point.px, clientY: box.top + point.py, pointerType: 'mouse' }))",
        "zoom": "canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: turn % 2 ? 100 : -100, clientX: box.left + 300, clientY: box.top + 200, cancelable: true }))",
        "arrow key": "canvas.focus(); canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', cancelable: true }))",
        # Until the details are drawn.
        "choose": "explorer.choose(run, run.id[run.front[turn % run.front.length]]); await new Promise(drawn => new MutationObserver(drawn).observe(explorer.panel, { childList: true }))",
    }
    for name, action in actions.items():
        times = browser.run(f"""return (async () => {{ const explorer = window.ecad.explorer, run = window.ecad.runs[0];
            const canvas = document.querySelector('.plot canvas'), box = canvas.getBoundingClientRect(), times = [];
            for (let turn = 0; turn < 15; turn++) {{ const start = performance.now(); {action}; times.push(performance.now() - start); }}
            return times; }})()""")
        # The lower quartile: other programs of the machine delay some.
        quartile, median, _ = statistics.quantiles(times, n=4)
        check(quartile < 100, f"{name} with {browser.run('return window.ecad.runs[0].count')} candidates takes {quartile:.1f} ms, in the median {median:.1f} ms")


def resident(process):
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def check_limits(url, process):
    """Slow readers and a thousand streams: others are answered at once, and memory stays bounded."""
    host, port = url.split("/")[2].rsplit(":", 1)
    sockets = []
    for number in range(1300):
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall([b"GET /api/changes HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /api/0/points HTTP/1.1\r\nHost: localhost\r\n\r\n",
                            b"GET /api/0/events HTTP"][0 if number < 1000 else 1 if number < 1200 else 2])
        sockets.append(connection)
    # Those that ask for points do not read them, and the last ones never end their request.
    time.sleep(3)
    start = time.monotonic()
    urllib.request.urlopen(f"{url}api/0/summary", timeout=10).read()
    seconds = time.monotonic() - start
    check(seconds < 1, f"beside 1,000 streams, 200 that do not read and 100 that do not ask, a page takes {seconds:.2f} s")
    check(resident(process) < 300, f"the server's memory is {resident(process):.0f} MB")
    time.sleep(25)
    closed = 0
    for connection in sockets[1200:]:
        connection.settimeout(1)
        try:
            closed += connection.recv(1) == b""
        except (ConnectionError, TimeoutError):
            pass
    check(closed == 100, f"{closed} of 100 requests that never ended were closed")
    for connection in sockets:
        connection.close()


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


def check_return(browser, program, folder):
    """A server that is gone for a while: the page stays, and shows what was missed once the server is back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    start = lambda: subprocess.Popen([program, "dashboard", "--run-dir", folder, "--listen", f"127.0.0.1:{port}"], stderr=subprocess.PIPE)
    server = start()
    server.stderr.readline()
    browser.open(f"http://127.0.0.1:{port}/#events")
    state = lambda text: f"document.documentElement.dataset.ready && document.getElementById('live').innerText === '{text}'"
    browser.wait(state("live"), "live")
    server.terminate()
    server.wait()
    browser.wait(state("disconnected"), "the page tells that the server is gone", 10)
    check(browser.run("return document.querySelectorAll('#main table').length") > 0, "the page stays while the server is gone")
    database = sqlite3.connect(f"{folder}/history.sqlite")
    database.execute("INSERT INTO events (run_id, at, kind, text) SELECT max(id), ?, 'note', 'missed by the browser' FROM runs", [time.time()])
    database.commit()
    server = start()
    seconds = browser.wait("document.getElementById('main').innerText.includes('missed by the browser')", "what was missed is shown", 20)
    server.terminate()
    server.wait()
    database.execute("DELETE FROM events WHERE kind = 'note'")
    database.commit()
    print(f"ok: {seconds:.1f} s after the server has come back, the page shows what it missed")
    browser.open("about:blank")
    browser.logs("browser")


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
    parser.add_argument("--program", help="ecad-coordinator, to stop and restart a dashboard of the run directory of --live")
    parser.add_argument("--screenshots")
    parser.add_argument("--no-images", action="store_true")
    parser.add_argument("--running", nargs=3, metavar=("URL", "RUN_DIR", "PID"))
    parser.add_argument("--large", metavar="URL")
    parser.add_argument("--process", type=int)
    options = parser.parse_args()
    browser = Browser()
    try:
        browser.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        check_pages(browser, options.url)
        check_choosing(browser, options.url, not options.no_images)
        check_limit(browser, options.url)
        check_header(browser, "a finished run")
        check_front(browser)
        check_ticks(browser, options.url)
        check_brushing(browser, options.url)
        check_purity(browser, options.url)
        if options.running:
            url, folder, coordinator = options.running
            check_running(browser, url, folder)
            check_controls(browser)
            check_interrupted(browser, int(coordinator))
            check_purity(browser, options.running[0])
        if options.large:
            check_interaction(browser, options.large)
            check_purity(browser, options.large)
        if options.process:
            check_limits(options.large or options.url, options.process)
        if options.live:
            check_live(browser, options.url, options.live)
            if options.program:
                check_return(browser, options.program, options.live)
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
            check_limit(browser, address)
            check_header(browser, "a report")
            check_purity(browser, "file:")
    finally:
        browser.close()
    print("all checks passed")


if __name__ == "__main__":
    main()
