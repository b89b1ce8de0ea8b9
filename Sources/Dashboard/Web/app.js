// Pages, runs, live updates.
import { Run, Unreachable, followChanges, isReport, load } from "./data.js";
import { el, moment, say, statusText, whole } from "./format.js";
import { runColour } from "./plot.js";
import { Explorer } from "./explorer.js";
import { BenchmarksPage, CandidatesPage, EventsPage, GenesPage, ProgressPage, WorkersPage } from "./pages.js";

class App {
  constructor(runs) {
    this.runs = runs;
    this.explorer = new Explorer(this);
    this.pages = [["explorer", "Explorer", this.explorer], ["progress", "Progress", new ProgressPage(this)], ["genes", "Genes", new GenesPage(this)],
      ["workers", "Workers", new WorkersPage(this)], ["candidates", "Candidates", new CandidatesPage(this)], ["benchmarks", "Benchmarks", new BenchmarksPage(this)],
      ["events", "Events", new EventsPage(this)]];
    this.main = document.getElementById("main");
    this.tabs = document.getElementById("tabs");
    this.tabs.replaceChildren(...this.pages.map(([name, title]) => el("a", { href: `#${name}` }, title)));
    addEventListener("hashchange", () => this.show().catch(failed));
    this.#theme();
  }

  /** Shows the page that the address names. */
  async show() {
    const [address, ...details] = location.hash.slice(1).split("/");
    const [name, , page] = this.pages.find(([name]) => name === address) ?? this.pages[0];
    for (const link of this.tabs.children) link.getAttribute("href") === `#${name}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
    if (this.current !== page) {
      this.current = page;
      this.main.replaceChildren(page.node);
      // On a narrow screen the tabs are scrolled.
      const tab = this.tabs.querySelector("[aria-current]");
      this.tabs.scrollLeft = tab.offsetLeft - this.tabs.offsetLeft - (this.tabs.clientWidth - tab.offsetWidth) / 2;
    }
    this.head();
    if (page === this.explorer) this.explorer.restore(details);
    await page.update();
  }

  /** Lets the page of gene usage begin with a part of the candidates. */
  showGenes(part) { this.pages.find(([name]) => name === "genes")[2].part = part; }

  open(run, id) {
    this.explorer.choose(run, id);
    location.hash = this.explorer.address;
  }

  head() {
    const [first] = this.runs;
    const { status, evaluations } = first.summary;
    document.getElementById("title").replaceChildren(...(this.runs.length === 1 ? [el("b", {}, first.model || first.summary.name),
      el("span", { class: `badge ${status}`, title: statusText(first.summary) }, status),
      el("span", { class: "more" }, status === "interrupted" ? statusText(first.summary).replace(/^interrupted, /, "").replace(/:\d\d$/, "") : `${whole(evaluations)} evaluations`)] : [`${this.runs.length} runs`]));
    document.title = `ECAD: ${this.runs.length === 1 ? first.model || first.summary.name : `${this.runs.length} runs`}`;
    const chips = document.getElementById("runs");
    chips.hidden = this.runs.length === 1;
    if (chips.hidden) return;
    chips.replaceChildren(...this.runs.map(run => el("button", { type: "button", class: "chip", "aria-pressed": String(run.visible), onclick: () => { run.visible = !run.visible; this.show(); } },
      el("i", { class: "square", style: { background: `var(--${runColour(run.number)})` } }), `${run.summary.name} · ${statusText(run.summary)} · ${whole(run.summary.evaluations)}`)));
  }

  /** Loads what has changed, one update at a time. */
  async refresh(numbers) {
    this.waiting = new Set([...(this.waiting ?? []), ...numbers]);
    if (this.isRefreshing) return;
    this.isRefreshing = true;
    try {
      while (this.waiting.size) {
        const now = this.waiting;
        this.waiting = new Set();
        const before = this.runs.map(run => run.summary.status);
        await Promise.all(this.runs.filter(run => now.has(run.number)).map(run => run.refresh()));
        this.runs.forEach((run, index) => { if (run.summary.status !== before[index]) say(`run ${run.summary.name}: ${statusText(run.summary)}`); });
        await this.show();
      }
    } finally {
      this.isRefreshing = false;
    }
  }

  #theme() {
    const button = document.getElementById("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    let choice = null;
    try { choice = localStorage.getItem("ecad-theme"); } catch { /* a report opened from a file has no storage */ }
    const apply = () => {
      const isDark = choice ? choice === "dark" : system.matches;
      document.documentElement.dataset.theme = isDark ? "dark" : "light";
      button.textContent = isDark ? "☀" : "☾";
      if (this.current) this.show().catch(failed);
    };
    button.addEventListener("click", () => {
      choice = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("ecad-theme", choice); } catch { /* as above */ }
      apply();
    });
    system.addEventListener("change", apply);
    apply();
  }
}

async function start() {
  const { count } = await load("runs");
  const runs = Array.from({ length: count }, (_, number) => new Run(number));
  await Promise.all(runs.map(run => run.refresh()));
  const app = window.ecad = new App(runs);
  await app.show();
  document.documentElement.dataset.ready = "yes";
  const live = document.getElementById("live");
  if (isReport) {
    live.textContent = `report of ${moment(runs[0].summary.now).slice(0, 10)}`;
    live.title = moment(runs[0].summary.now);
    live.classList.add("still");
    return;
  }
  const update = numbers => app.refresh(numbers ?? runs.map(run => run.number)).catch(failed);
  followChanges(update, isOpen => {
    live.textContent = isOpen ? "live" : "disconnected";
    live.classList.toggle("off", !isOpen);
  });
}

/** A page that its server leaves stays as it is; the header says that it is disconnected. */
function failed(error) {
  if (!(error instanceof Unreachable)) problem(error);
}

function problem(error) {
  document.getElementById("main").replaceChildren(el("p", { class: "note bad" }, `These data cannot be shown: ${error.message}`));
  throw error;
}

start().catch(problem);
