// The other pages: progress, genes, workers, candidates, benchmarks, events.
import { isReport } from "./data.js";
import { aligned, command, csv, duration, el, figure, moment, offer, percent, renew, save, scorerName, shellWord, statusText, table, times, vector, whole } from "./format.js";
import { bounds, geneBit, heatMaps, lineChart, roundInterval, runColour } from "./plot.js";

/** How a page of whole-run figures begins. */
const tile = (name, value, note) => el("div", { class: "tile" }, el("div", { class: "note" }, name), el("div", { class: "value" }, value), note ? el("div", { class: "note" }, note) : null);

const card = (title, ...content) => el("section", { class: "card" }, title ? el("h2", {}, title) : null, content);

/** One card for each visible run. */
async function perRun(app, body) {
  const runs = app.runs.filter(run => run.visible);
  return el("div", { class: "stack" }, await Promise.all(runs.map(async run => card(app.runs.length > 1 ? run.summary.name : null, await body(run)))));
}

/**
 * Images per second over intervals of `width` seconds: [start, images]. Intervals without results get a row as well, so that a pause
 * is not drawn as work; the last interval has not ended, and is left out if there are others.
 */
function imageRates(rows, width) {
  const ended = rows.length > 2 ? rows.slice(0, -1) : rows;
  return ended.flatMap(([start, images], index) => {
    const next = ended[index + 1]?.[0] ?? start + width;
    const rate = [start, images / width];
    return next > start + width ? [rate, [start + width, 0], [next - width, 0]] : [rate];
  });
}

const progressAxes = [["evaluations", "Evaluations"], ["images", "Images"], ["seconds", "Time"], ["worker_seconds", "Workers' time"], ["generation", "Generations"]];

/** Hypervolume against evaluations, images or seconds; stop rules; images per second. */
export class ProgressPage {
  constructor(app) {
    this.app = app;
    this.axis = "evaluations";
    this.select = el("select", { "aria-label": "Horizontal axis", onchange: () => { this.axis = this.select.value; this.update(); } });
    offer(this.select, progressAxes, this.axis);
    this.heads = el("div", { class: "stack" });
    this.hypervolume = el("div");
    this.rest = el("div", { class: "stack" });
    this.node = el("div", { class: "stack" }, this.heads, card("Hypervolume", el("div", { class: "controls" }, this.select), this.hypervolume), this.rest);
  }

  async update() {
    const runs = this.app.runs.filter(run => run.visible);
    const pages = await Promise.all(runs.map(run => run.page("progress")));
    const series = runs.map((run, position) => {
      const kept = pages[position].hypervolume.map((value, index) => value === null ? -1 : index).filter(index => index >= 0);
      return { name: run.summary.name, colour: runColour(run.number), x: kept.map(index => pages[position][this.axis][index]), y: kept.map(index => pages[position].hypervolume[index]) };
    });
    const rates = runs.map((run, position) => {
      const rows = imageRates([...pages[position].throughput].reverse(), pages[position].interval);
      const start = rows[0]?.[0] ?? 0;
      return { name: run.summary.name, colour: runColour(run.number), x: rows.map(row => row[0] - start), y: rows.map(row => row[1]) };
    });
    renew(this.heads, ...runs.map((run, position) => [this.#interruption(run), this.#tiles(run, pages[position])].filter(Boolean)));
    renew(this.hypervolume, lineChart({ label: "Hypervolume", series, isStep: true, titles: { x: this.select.selectedOptions[0].textContent.toLowerCase(), y: "hypervolume of the front" },
      format: { x: this.axis.endsWith("seconds") ? duration : whole, y: figure } }));
    renew(this.rest,
      card("Images per second", lineChart({ label: "Images per second", series: rates, isStep: true, fromZero: true, titles: { x: "time since the first result", y: "images per second" },
        format: { x: duration, y: figure } })),
      ...runs.map((run, position) => card(`Stop rules${runs.length > 1 ? `: ${run.summary.name}` : ""}`, this.#rules(run, pages[position]))));
  }

  /** A killed coordinator cannot say that the run has stopped; the history knows only when the last result came. */
  #interruption(run) {
    if (run.summary.status !== "interrupted") return null;
    return card(null, el("p", {}, el("b", {}, `${run.summary.name}: ${statusText(run.summary)}.`), " No coordinator works on this run. To resume it with local workers:"),
      command(`ecad-coordinator resume --run-dir ${shellWord(run.summary.folder)} --workers 2`));
  }

  /** Seconds until the last generation ends at the speed so far; null if nothing is known. */
  #timeLeft(run, page) {
    const [generations, population] = ["generations", "population"].map(key => Number(run.setting("search", key)));
    const [done, seconds] = [page.evaluations.at(-1), page.seconds.at(-1)];
    if (run.summary.status !== "running" || !done || !seconds || !generations || !population) return null;
    return Math.max(0, generations * population - run.summary.evaluations) * seconds / done;
  }

  #tiles(run, page) {
    const { summary } = run;
    const generations = run.setting("search", "generations");
    const isRunning = summary.status === "running";
    const left = this.#timeLeft(run, page);
    const workers = summary.connected ? `${whole(summary.connected)} ${summary.connected === 1 ? "worker" : "workers"} connected` : "no workers connected";
    return el("div", { class: "tiles", "aria-label": summary.name },
      this.app.runs.length > 1 ? tile("Run", summary.name) : null,
      tile("Status", summary.status, isRunning ? [workers, run.beginning].filter(Boolean).join(". ") : summary.last_result ? `last result ${moment(summary.last_result)}` : null),
      tile("Generation", `${whole((summary.generation ?? 0) + 1)}${generations ? ` of ${generations}` : ""}`),
      tile("Evaluations", whole(summary.evaluations)), tile("Images", whole(summary.search_images), "of candidates"), tile("Front", whole(run.front.length), "members"),
      tile("Hypervolume", figure(summary.hypervolume)), tile("Time", duration(page.seconds.at(-1) ?? 0), "coordinator"),
      tile("Work", duration(page.worker_seconds.at(-1) ?? 0), "workers on candidates"),
      left === null ? null : tile("Time left", duration(left), "for all generations"));
  }

  /** The rules that are set. */
  #rules(run, page) {
    const rule = (section, key, limit, now) => run.setting(section, key) === null ? [] : [[`${section}.${key}`, limit(run.setting(section, key)), now]];
    const flat = Number(run.setting("stop", "flat_generations")), growth = run.setting("stop", "flat_gain");
    const values = page.hypervolume.filter(value => value !== null);
    const [before, after] = [values.at(-1 - flat), values.at(-1)];
    return table(["Rule", "Ends the run at", "Now"], [
      ...rule("search", "generations", value => `generation ${value}`, whole((run.summary.generation ?? 0) + 1)),
      ...rule("search", "budget_images", value => `${whole(Number(value))} images`, "see status"),
      ...rule("stop", "evaluations", value => `${whole(Number(value))} evaluations`, whole(run.summary.evaluations)),
      ...rule("stop", "seconds", value => duration(Number(value)), duration(page.seconds.at(-1) ?? 0)),
      ...rule("stop", "flat_generations", value => `at most ${percent(Number(growth))} more hypervolume in ${value} generations`,
        before === undefined ? "too early" : `${percent((after - before) / Math.abs(before))} more`),
    ], "Stop rules");
  }
}

/** How often each gene is recomputed on the front or among the chosen candidates. */
export class GenesPage {
  constructor(app) {
    this.app = app;
    this.part = "front";
    this.select = el("select", { "aria-label": "Candidates", onchange: () => { this.part = this.select.value; this.update(); } });
    this.content = el("div", { class: "stack" });
    this.node = el("div", { class: "stack" }, el("div", { class: "controls" }, this.select), this.content);
  }

  async update() {
    const { selection } = this.app.explorer;
    if (this.part === "selection" && !selection.length) this.part = "front";
    offer(this.select, [["front", "The whole front"], ["fast", "The faster half of the front"], ["slow", "The slower half of the front"], ["chosen", "The chosen candidates"],
      ...(selection.length ? [["selection", `The selection in the explorer (${whole(selection.length)})`]] : [])], this.part);
    const content = await perRun(this.app, async run => {
      const layout = await run.layoutOfGenes();
      const half = Math.ceil(run.front.length / 2);
      const indexes = { front: run.front, fast: run.front.slice(0, half), slow: run.front.slice(half) }[this.part];
      const picked = this.part === "selection" ? this.app.explorer.selection : this.app.explorer.chosen;
      const ids = indexes ? indexes.map(index => run.id[index]) : picked.filter(choice => choice.run === run).map(choice => choice.id);
      const genomes = await run.genomes(ids);
      const found = ids.map(id => genomes[id]).filter(Boolean);
      if (!found.length) return el("p", { class: "note" }, "No candidates.");
      const shares = layout.step.map((_, gene) => found.reduce((sum, genome) => sum + geneBit(genome, gene), 0) / found.length);
      const steps = Math.max(...bounds(layout.step)) + 1;
      const components = [...new Set(layout.component)];
      const byStep = components.map((component, position) => ({ name: component, colour: `run-${position}`, x: [...Array(steps).keys()], y: [...Array(steps).keys()].map(step => {
        const genes = layout.step.map((value, gene) => value === step && layout.component[gene] === component ? gene : -1).filter(gene => gene >= 0);
        return genes.reduce((sum, gene) => sum + shares[gene], 0) / Math.max(1, genes.length);
      }) }));
      const part = found.length < ids.length ? ` (of ${whole(ids.length)}; ${isReport ? "a report has the genomes of the front only" : "the first ones"})` : "";
      return [el("p", { class: "note" }, `Share of ${found.length} schedules${part} that recompute a component: darker is more often.`), heatMaps(layout, gene => shares[gene], null, 720),
        el("h3", {}, "By step"), el("p", { class: "legend note" }, components.map((component, position) => el("span", { class: "key" }, el("i", { class: "square", style: { background: `var(--run-${position})` } }), component))),
        lineChart({ label: "Share recomputed by step", series: byStep, fromZero: true, titles: { x: "step", y: "share recomputed" }, format: { x: figure, y: percent } })];
    });
    renew(this.content, content);
  }
}

/** Leases over time, utilisation, failures, refusals. */
export class WorkersPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
  }

  async update() {
    renew(this.node, await perRun(this.app, async run => {
      const page = await run.page("workers");
      const isLive = run.summary.status === "running";
      return [
        el("h3", {}, "Leases"), timeline(page, isLive),
        el("h3", {}, "Workers"),
        table(["Worker", "Host", "Engine", "Device", "Evaluations", "Images", "Busy", "Utilisation", "Failures", "State"], page.workers.map(worker => [
          worker.name, worker.host, worker.engine, worker.device, whole(worker.evaluations), whole(worker.images), duration(worker.busy), percent(worker.utilisation), worker.failures,
          worker.quarantine ? el("span", { class: "bad" }, `quarantined: ${worker.quarantine}`) : isLive && page.now - worker.last_seen < 15 ? "connected" : el("span", { class: "nowrap" }, `last seen ${moment(worker.last_seen)}`)]), "Workers"),
        el("h3", {}, "Leases without a result"), page.failures.length ? table(["Worker", "Outcome", "Leases", "Last", "Reason"], page.failures.map(([name, outcome, leases, at, reason]) => [name, outcome, leases, moment(at), reason ?? "–"]), "Leases without a result") : el("p", { class: "note" }, "None."),
        el("h3", {}, "Refused peers and messages"), page.refusals.length ? table(["Reason", "Count", "First", "Last"], page.refusals.map(([reason, count, first, last]) => [reason, count, moment(first), moment(last)]), "Refusals") : el("p", { class: "note" }, "None."),
        el("p", { class: "note" }, `${page.rechecks[0]} results were computed a second time, ${page.rechecks[1]} of them agreed.`),
      ];
    }));
  }
}

/** Round times from 0, about six of them. */
function roundSeconds(length) {
  const step = roundInterval(length / 7);
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
}

function timeline(page, isLive) {
  const node = el("div", { class: "timeline", role: "img", "aria-label": `Leases of ${page.workers.length} workers over time` });
  const draw = () => {
    const width = node.clientWidth;
    if (!width) return;
    if (!page.leases.length) return node.replaceChildren(el("p", { class: "note" }, "No leases yet."));
    const start = bounds(page.leases.map(lease => lease[1]))[0];
    const end = Math.max(bounds(page.leases.map(lease => lease[2] ?? lease[1]))[1], isLive ? page.now : 0, start + 1);
    const left = 110, row = page.workers.length > 40 ? 8 : 22;
    const at = seconds => left + (seconds - start) / (end - start) * (width - left - 12);
    const height = page.workers.length * row + 34;
    const rows = new Map(page.workers.map((worker, index) => [worker.id, index]));
    node.replaceChildren(vector("svg", { viewBox: `0 0 ${width} ${height}`, width, height },
      page.workers.map((worker, index) => row < 12 ? null : vector("text", { class: "tick", x: left - 8, y: index * row + row / 2 + 4, "text-anchor": "end" }, worker.name.slice(0, 16))),
      page.leases.map(([worker, from, to, outcome]) => vector("rect", { class: `lease ${outcome ?? "open"}`, x: at(from), y: (rows.get(worker) ?? 0) * row + 2, width: Math.max(1, at(to ?? end) - at(from) - 0.5), height: row - 4 },
        vector("title", {}, `${outcome ?? "in progress"}, ${duration((to ?? end) - from)}, ${moment(from)}`))),
      roundSeconds(end - start).map(seconds => [vector("line", { class: "grid", x1: at(start + seconds), x2: at(start + seconds), y1: 0, y2: height - 26 }),
        vector("text", { class: "tick", x: at(start + seconds), y: height - 10, "text-anchor": "middle" }, duration(seconds))]).flat()));
  };
  new ResizeObserver(draw).observe(node);
  return [node, el("p", { class: "legend note" }, [["done", "done"], ["open", "in progress"], ["failed", "failed, expired or lost"], ["returned", "returned or superseded"]]
    .map(([kind, text]) => el("span", { class: "key" }, el("i", { class: `square lease-${kind}` }), text)))];
}

const columnsOfCandidates = [
  ["id", "Candidate"], ["generation", "Generation"], ["ratio", "Time"], ["speed", "Speed-up"], ["quality", "Quality"], ["gmacs", "GMACs"], ["images", "Images"],
  ["origin", "Origin"], ["front", "Front"],
];
const textColumns = new Set(["run", "origin", "front"]);

/** All candidates: sortable, searchable, as CSV. Only the rows in view are in the document. */
export class CandidatesPage {
  static rowHeight = 30;

  constructor(app) {
    this.app = app;
    Object.assign(this, { sort: "quality", descending: true, text: "" });
    this.columns = app.runs.length > 1 ? [["run", "Run"], ...columnsOfCandidates] : columnsOfCandidates;
    const search = el("input", { type: "search", placeholder: "Number, origin or run; e.g. fora, front", "aria-label": "Search", oninput: () => { this.text = search.value.toLowerCase(); this.update(); } });
    this.total = el("span", { class: "note", role: "status" });
    this.head = el("tr");
    this.body = el("tbody");
    this.space = el("div", { class: "space" });
    this.view = el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Candidates", onscroll: () => this.#draw() },
      this.space, el("table", { class: "rows" }, el("caption", { class: "hidden" }, "Candidates"), el("thead", {}, this.head), this.body));
    this.node = card(null, el("div", { class: "controls" }, search, this.total,
      el("button", { type: "button", class: "quiet", onclick: () => save("candidates.csv", "text/csv", csv(["run", ...columnsOfCandidates.map(([name]) => name)], this.rows.map(row => ["run", ...columnsOfCandidates.map(([name]) => name)].map(name => this.#value(row, name))))) }, "Save as CSV")), this.view);
  }

  #value({ run, index }, name) {
    if (name === "ratio") return run.time(index);
    if (name === "speed") return 1 / (run.time(index));
    if (name === "run") return run.summary.name;
    if (name === "front") return run.onFront.has(index) ? "front" : "";
    return run[name][index];
  }

  update() {
    const rows = [];
    for (const run of this.app.runs.filter(run => run.visible)) {
      for (let index = 0; index < run.count; index++) {
        if (this.text && !`${run.id[index]} ${run.origin[index]} ${run.operator[index] ?? ""} ${run.onFront.has(index) ? "front" : ""} ${run.summary.name}`.toLowerCase().includes(this.text)) continue;
        rows.push({ run, index });
      }
    }
    const sign = this.descending ? -1 : 1;
    const keys = new Map(rows.map(row => [row, this.#value(row, this.sort)]));
    rows.sort((a, b) => {
      const [left, right] = [keys.get(a), keys.get(b)];
      return sign * (left < right ? -1 : left > right ? 1 : 0);
    });
    this.rows = rows;
    const columns = ["quality", "gmacs"].map(name => [name, aligned(rows.slice(0, 20000).map(row => this.#value(row, name)), 5)]);
    this.print = { ratio: value => `${(100 * value).toFixed(1)} %`, speed: value => `${value.toFixed(2)}×`, ...Object.fromEntries(columns) };
    this.total.textContent = `${whole(rows.length)} candidates`;
    this.head.replaceChildren(...this.columns.map(([name, text]) => el("th", { scope: "col", class: name === "origin" ? "wide" : textColumns.has(name) ? null : "number", "aria-sort": this.sort === name ? (this.descending ? "descending" : "ascending") : "none" },
      el("button", { type: "button", onclick: () => { this.descending = this.sort === name ? !this.descending : name !== "id" && name !== "ratio"; this.sort = name; this.update(); } }, `${text} ${this.sort === name ? (this.descending ? "↓" : "↑") : ""}`))));
    this.view.style.setProperty("--rows", rows.length);
    this.#draw();
  }

  #draw() {
    const height = CandidatesPage.rowHeight;
    const first = Math.max(0, Math.floor(this.view.scrollTop / height) - 10);
    const shown = this.rows.slice(first, first + Math.ceil((this.view.clientHeight || 600) / height) + 20);
    this.space.style.setProperty("height", `${(this.rows.length + 1) * height}px`);
    this.body.replaceChildren(...(first ? [el("tr", { "aria-hidden": "true", style: { height: `${first * height}px` } })] : []), ...shown.map(row => el("tr", {}, this.columns.map(([name]) => {
      const value = this.#value(row, name);
      if (name === "id") return el("td", { class: "number" }, el("button", { type: "button", class: "link", onclick: () => this.app.open(row.run, row.run.id[row.index]) }, value));
      return el("td", { class: textColumns.has(name) ? null : "number", title: name === "origin" ? value : null }, this.print[name]?.(value) ?? (typeof value === "number" ? whole(value) : value ?? "–"));
    }))));
  }
}

/** Schedules measured on other prompts. */
export class BenchmarksPage {
  constructor(app) {
    this.app = app;
    this.select = el("select", { "aria-label": "Scorer", onchange: () => { this.scorer = this.select.value; this.update(); } });
    this.controls = el("div", { class: "controls", hidden: true }, this.select, el("span", { class: "note" }, "The explorer can show a benchmark beside the candidates."));
    this.content = el("div", { class: "stack" });
    this.node = el("div", { class: "stack" }, this.controls, this.content);
  }

  async update() {
    const pages = await Promise.all(this.app.runs.filter(run => run.visible).map(run => run.benchmarks()));
    const scorers = [...new Set(pages.flatMap(page => page.scores.map(score => score.scorer)))];
    const quality = this.app.runs[0].summary.quality;
    const scorer = scorers.includes(this.scorer) ? this.scorer : scorers.includes(quality) ? quality : scorers[0];
    this.controls.hidden = !scorers.length;
    offer(this.select, scorers.map(name => [name, scorerName(name)]), scorer);
    renew(this.content, await perRun(this.app, async run => {
      const page = await run.benchmarks();
      if (!page.scores.length) return [el("p", { class: "note" }, "No benchmark yet. To measure the front on prompts that the search has not used:"),
        command(`ecad-coordinator benchmark --run-dir ${shellWord(run.summary.folder)} --prompts FILE --front --heuristics --workers 2`)];
      const ratios = new Map(page.schedules.map(schedule => [`${schedule.set}/${schedule.id}`, schedule.ratio]));
      const scores = page.scores.filter(score => score.scorer === scorer);
      const [mean, error, p5, lowest] = ["mean", "standard_error", "p5", "worst"].map(name => aligned(scores.map(score => score[name])));
      return [...[...new Set(scores.map(score => score.set))].map(set => [el("h3", {}, set),
          table(["Schedule", "Time", "Mean", "Standard error", "5th percentile", "Worst", "Worst prompt", "Images"], scores.filter(score => score.set === set)
            .sort((a, b) => (ratios.get(`${set}/${a.id}`) ?? 0) - (ratios.get(`${set}/${b.id}`) ?? 0))
            .map(score => [el("button", { type: "button", class: "link", onclick: () => this.app.open(run, score.id) }, score.schedule), percent(ratios.get(`${set}/${score.id}`)),
              mean(score.mean), error(score.standard_error), p5(score.p5), lowest(score.worst),
              el("span", { class: "prompt", dir: "auto", title: score.worst_prompt }, score.worst_prompt), score.images]), `Benchmark ${set}`)])];
    }));
  }
}

/** What happened, the latest first; and the configuration. */
export class EventsPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
    /** Runs whose configuration is unfolded. */
    this.unfolded = new Set();
  }

  async update() {
    renew(this.node, await perRun(this.app, async run => [
      el("h3", {}, "Events"),
      table(["Time", "Kind", "Event"], (await run.page("events")).map(([, at, kind, text]) => [moment(at), kind, el("span", { dir: "auto" }, text)]), "Events", true),
      el("h3", {}, "Run"),
      table(["Property", "Value"], [["Run directory", run.summary.folder], ["Status", statusText(run.summary)], ["Coordinator", run.summary.coordinator ?? "none"], ["Started", moment(run.summary.created_at)], ["Finished", moment(run.summary.finished_at)],
        ["Model", run.model], ["Fingerprint", run.summary.model_hash.slice(0, 16)], ["Seed", String(run.summary.seed)], ["Genes", whole(run.summary.genes)],
        ["Reference point", run.summary.reference ? `${figure(run.summary.reference.cost)}, ${figure(run.summary.reference.quality)}` : "–"]], "Properties", true),
      el("details", { open: this.unfolded.has(run), ontoggle: event => { event.target.open ? this.unfolded.add(run) : this.unfolded.delete(run); } },
        el("summary", {}, "Configuration of the run"), el("pre", {}, run.summary.configuration)),
    ]));
  }
}
