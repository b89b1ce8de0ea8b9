// The other pages: progress, genes, workers, candidates, benchmarks, events.
import { isReport } from "./data.js";
import { csv, duration, el, figure, moment, percent, save, scorerName, table, times, vector, whole } from "./format.js";
import { bounds, geneBit, heatMaps, lineChart, runColour } from "./plot.js";
import { tile } from "./explorer.js";

const card = (title, ...content) => el("section", { class: "card" }, title ? el("h2", {}, title) : null, content);

/** One card for each visible run. */
async function perRun(app, body) {
  const runs = app.runs.filter(run => run.visible);
  return el("div", { class: "stack" }, await Promise.all(runs.map(async run => card(app.runs.length > 1 ? run.summary.name : null, await body(run)))));
}

/** Minutes without results get a row as well, so that a pause is not drawn as work: [minute, images, workers]. */
function withGaps(rows) {
  return rows.flatMap(([minute, ...row], index) => {
    const next = rows[index + 1]?.[0] ?? minute + 60;
    return next > minute + 60 ? [[minute, ...row], [minute + 60, 0, 0], [next - 60, 0, 0]] : [[minute, ...row]];
  });
}

/** Hypervolume against evaluations, images or seconds; stop rules; images per second. */
export class ProgressPage {
  constructor(app) {
    this.app = app;
    this.axis = "evaluations";
    this.node = el("div", { class: "stack" });
  }

  async update() {
    const runs = this.app.runs.filter(run => run.visible);
    const pages = await Promise.all(runs.map(run => run.page("progress")));
    const select = el("select", { "aria-label": "Horizontal axis", onchange: () => { this.axis = select.value; this.update(); } },
      [["evaluations", "Evaluations"], ["images", "Images"], ["seconds", "Seconds"], ["worker_seconds", "Workers' seconds"], ["generation", "Generations"]]
        .map(([value, text]) => el("option", { value, selected: value === this.axis }, text)));
    const series = runs.map((run, position) => {
      const kept = pages[position].hypervolume.map((value, index) => value === null ? -1 : index).filter(index => index >= 0);
      return { name: run.summary.name, colour: runColour(run.number), x: kept.map(index => pages[position][this.axis][index]), y: kept.map(index => pages[position].hypervolume[index]) };
    });
    const rates = runs.map((run, position) => {
      const rows = withGaps([...pages[position].throughput].reverse());
      const start = rows[0]?.[0] ?? 0;
      return { name: run.summary.name, colour: runColour(run.number), x: rows.map(row => (row[0] - start) / 60), y: rows.map(row => row[1] / 60) };
    });
    this.node.replaceChildren(
      ...runs.map((run, position) => this.#tiles(run, pages[position])),
      card("Hypervolume", el("div", { class: "controls" }, select), lineChart({ label: "Hypervolume", series, isStep: true, titles: { x: select.selectedOptions[0].textContent.toLowerCase(), y: "hypervolume of the front" },
        format: { x: this.axis.endsWith("seconds") ? duration : whole, y: figure } })),
      card("Images per second", lineChart({ label: "Images per second", series: rates, isStep: true, fromZero: true, titles: { x: "minutes since the first result", y: "images per second" } })),
      ...runs.map(run => card(`Stop rules${runs.length > 1 ? `: ${run.summary.name}` : ""}`, this.#rules(run))));
  }

  #tiles(run, page) {
    const { summary } = run;
    const generations = run.setting("search", "generations");
    return el("div", { class: "tiles", "aria-label": summary.name },
      this.app.runs.length > 1 ? tile("Run", summary.name) : null, tile("Status", summary.status),
      tile("Generation", `${whole((summary.generation ?? 0) + 1)}${generations ? ` of ${generations}` : ""}`),
      tile("Evaluations", whole(summary.evaluations)), tile("Images", whole(summary.images)), tile("Front", whole(run.front.length), "members"),
      tile("Hypervolume", figure(summary.hypervolume)), tile("Time", duration(page.seconds.at(-1) ?? 0), "coordinator running"),
      tile("Work", duration(page.worker_seconds.at(-1) ?? 0), "of all workers"));
  }

  #rules(run) {
    const rules = [["search.generations", run.setting("search", "generations"), (run.summary.generation ?? 0) + 1],
      ["search.budget_images", run.setting("search", "budget_images"), null],
      ["stop.evaluations", run.setting("stop", "evaluations"), run.summary.evaluations], ["stop.seconds", run.setting("stop", "seconds"), null],
      ["stop.flat_generations", run.setting("stop", "flat_generations"), null]];
    return table(["Rule", "Ends the run at", "Now"], rules.map(([name, limit, now]) => [name, limit ?? "not set", now === null ? "–" : whole(now)]), "Stop rules");
  }
}

/** How often each gene is recomputed on the front or among the chosen candidates. */
export class GenesPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
    this.part = "front";
  }

  async update() {
    const select = el("select", { "aria-label": "Candidates", onchange: () => { this.part = select.value; this.update(); } },
      [["front", "The whole front"], ["fast", "The faster half of the front"], ["slow", "The slower half of the front"], ["chosen", "The chosen candidates"],
        ...(this.app.explorer.selection.length ? [["selection", `The selection in the explorer (${whole(this.app.explorer.selection.length)})`]] : [])]
        .map(([value, text]) => el("option", { value, selected: value === this.part }, text)));
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
    this.node.replaceChildren(el("div", { class: "controls" }, select), content);
  }
}

/** Leases over time, utilisation, failures, refusals. */
export class WorkersPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
  }

  async update() {
    this.node.replaceChildren(await perRun(this.app, async run => {
      const page = await run.page("workers");
      const isLive = run.summary.status === "running";
      return [
        el("h3", {}, "Leases"), timeline(page, isLive),
        el("h3", {}, "Workers"),
        table(["Worker", "Host", "Engine", "Device", "Evaluations", "Images", "Busy", "Utilisation", "Failures", "State"], page.workers.map(worker => [
          worker.name, worker.host, worker.engine, worker.device, whole(worker.evaluations), whole(worker.images), duration(worker.busy), percent(worker.utilisation), worker.failures,
          worker.quarantine ? el("span", { class: "bad" }, `quarantined: ${worker.quarantine}`) : isLive && page.now - worker.last_seen < 15 ? "connected" : el("span", { class: "nowrap" }, `last seen ${moment(worker.last_seen)}`)]), "Workers"),
        el("h3", {}, "Failures"), page.failures.length ? table(["Worker", "Outcome", "Leases", "Last", "Reason"], page.failures.map(([name, outcome, leases, at, reason]) => [name, outcome, leases, moment(at), reason ?? "–"]), "Failures") : el("p", { class: "note" }, "None."),
        el("h3", {}, "Refused peers and messages"), page.refusals.length ? table(["Reason", "Count", "First", "Last"], page.refusals.map(([reason, count, first, last]) => [reason, count, moment(first), moment(last)]), "Refusals") : el("p", { class: "note" }, "None."),
        el("p", { class: "note" }, `${page.rechecks[0]} results were computed a second time, ${page.rechecks[1]} of them agreed.`),
      ];
    }));
  }
}

/** Round times from 0, about six of them. */
function roundSeconds(length) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const step = steps.find(step => length / step <= 7) ?? 86400 * Math.ceil(length / 86400 / 7);
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

/** All candidates: sortable, searchable, as CSV. Only the rows in view are in the document. */
export class CandidatesPage {
  static rowHeight = 30;

  constructor(app) {
    this.app = app;
    Object.assign(this, { sort: "quality", descending: true, text: "" });
    const search = el("input", { type: "search", placeholder: "Number, origin or run; e.g. fora, front", "aria-label": "Search", oninput: () => { this.text = search.value.toLowerCase(); this.update(); } });
    this.total = el("span", { class: "note", role: "status" });
    this.head = el("tr");
    this.body = el("tbody");
    this.space = el("div", { class: "space" });
    this.view = el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Candidates", onscroll: () => this.#draw() },
      this.space, el("table", { class: "rows" }, el("caption", { class: "hidden" }, "Candidates"), el("thead", {}, this.head), this.body));
    this.node = card(null, el("div", { class: "controls" }, search, this.total,
      el("button", { type: "button", class: "quiet", onclick: () => save("candidates.csv", "text/csv", csv(["run", ...columnsOfCandidates.map(([name]) => name)], this.rows.map(row => [row.run.summary.name, ...columnsOfCandidates.map(([name]) => this.#value(row, name))]))) }, "Save as CSV")), this.view);
  }

  #value({ run, index }, name) {
    if (name === "ratio") return run.ratio[index] ?? run.cost[index];
    if (name === "speed") return 1 / (run.ratio[index] ?? run.cost[index]);
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
    this.total.textContent = `${whole(rows.length)} candidates`;
    this.head.replaceChildren(...columnsOfCandidates.map(([name, text]) => el("th", { scope: "col", "aria-sort": this.sort === name ? (this.descending ? "descending" : "ascending") : "none" },
      el("button", { type: "button", onclick: () => { this.descending = this.sort === name ? !this.descending : name !== "id" && name !== "ratio"; this.sort = name; this.update(); } }, `${text} ${this.sort === name ? (this.descending ? "↓" : "↑") : ""}`))));
    this.view.style.setProperty("--rows", rows.length);
    this.#draw();
  }

  #draw() {
    const height = CandidatesPage.rowHeight;
    const first = Math.max(0, Math.floor(this.view.scrollTop / height) - 10);
    const shown = this.rows.slice(first, first + Math.ceil((this.view.clientHeight || 600) / height) + 20);
    this.space.style.setProperty("height", `${(this.rows.length + 1) * height}px`);
    this.body.replaceChildren(...(first ? [el("tr", { "aria-hidden": "true", style: { height: `${first * height}px` } })] : []), ...shown.map(row => el("tr", {}, columnsOfCandidates.map(([name]) => {
      const value = this.#value(row, name);
      if (name === "id") return el("td", { class: "number" }, el("button", { type: "button", class: "link", onclick: () => this.app.open(row.run, row.run.id[row.index]) }, value));
      return el("td", { class: typeof value === "number" ? "number" : null }, name === "ratio" ? percent(value) : name === "speed" ? times(value) : typeof value === "number" ? figure(value) : value ?? "–");
    }))));
  }
}

/** Schedules measured on other prompts. */
export class BenchmarksPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
  }

  async update() {
    this.node.replaceChildren(await perRun(this.app, async run => {
      const page = await run.benchmarks();
      if (!page.scores.length) return [el("p", { class: "note" }, "No benchmark yet. To measure the front on prompts that the search has not used:"),
        el("div", { class: "command" }, el("code", {}, `ecad-coordinator benchmark --run-dir ${run.summary.folder} --prompts FILE --front --heuristics --workers 2`))];
      const ratios = new Map(page.schedules.map(schedule => [`${schedule.set}/${schedule.id}`, schedule.ratio]));
      const scorers = [...new Set(page.scores.map(score => score.scorer))];
      const scorer = scorers.includes(this.scorer) ? this.scorer : scorers.includes(run.summary.quality) ? run.summary.quality : scorers[0];
      const select = el("select", { "aria-label": "Scorer", onchange: () => { this.scorer = select.value; this.update(); } },
        scorers.map(name => el("option", { value: name, selected: name === scorer }, scorerName(name))));
      const scores = page.scores.filter(score => score.scorer === scorer);
      return [el("div", { class: "controls" }, select, el("span", { class: "note" }, "The explorer can show a benchmark beside the candidates.")),
        ...[...new Set(scores.map(score => score.set))].map(set => [el("h3", {}, set),
          table(["Schedule", "Time", "Mean", "Standard error", "5th percentile", "Worst", "Worst prompt", "Images"], scores.filter(score => score.set === set)
            .sort((a, b) => (ratios.get(`${set}/${a.id}`) ?? 0) - (ratios.get(`${set}/${b.id}`) ?? 0))
            .map(score => [el("button", { type: "button", class: "link", onclick: () => this.app.open(run, score.id) }, score.schedule), percent(ratios.get(`${set}/${score.id}`)),
              figure(score.mean), figure(score.standard_error, 3), figure(score.p5), figure(score.worst),
              el("span", { class: "prompt", dir: "auto", title: score.worst_prompt }, score.worst_prompt), score.images]), `Benchmark ${set}`)])];
    }));
  }
}

/** What happened, the latest first; and the configuration. */
export class EventsPage {
  constructor(app) {
    this.app = app;
    this.node = el("div", { class: "stack" });
  }

  async update() {
    this.node.replaceChildren(await perRun(this.app, async run => [
      table(["Time", "Kind", "Event"], (await run.page("events")).map(([, at, kind, text]) => [moment(at), kind, el("span", { dir: "auto" }, text)]), "Events"),
      el("details", {}, el("summary", {}, "Configuration of the run"), el("pre", {}, run.summary.configuration)),
      table(["Property", "Value"], [["Run directory", run.summary.folder], ["Status", run.summary.status], ["Started", moment(run.summary.created_at)], ["Finished", moment(run.summary.finished_at)],
        ["Model", run.model], ["Fingerprint", run.summary.model_hash.slice(0, 16)], ["Seed", String(run.summary.seed)], ["Genes", whole(run.summary.genes)],
        ["Reference point", run.summary.reference ? `${figure(run.summary.reference.cost)}, ${figure(run.summary.reference.quality)}` : "–"]], "Properties"),
    ]));
  }
}
