// Runs and their answers: from the server, or from the report that contains this script.

const reportElement = document.getElementById("report");
const reportAnswers = reportElement ? JSON.parse(reportElement.textContent) : null;

/** Whether this page is a file without a server. */
export const isReport = reportAnswers !== null;

/** The server does not answer. */
export class Unreachable extends Error {}

/** An answer as an object; null if there is none. */
export async function load(path) {
  if (isReport) return reportAnswers[path] ?? null;
  const answer = await fetch(`api/${path}`, { credentials: "same-origin" }).catch(error => { throw new Unreachable(error.message); });
  if (answer.status === 401) location.reload();
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
}

/** One run: its summary, its evaluated candidates as columns, and what is derived from them. */
export class Run {
  static columns = ["id", "generation", "cost", "quality", "ratio", "measured", "modelled", "gmacs", "images", "origin",
    "operator", "parent_a", "parent_b"];

  constructor(number) {
    this.number = number;
    this.visible = true;
    this.last = 0;
    this.byID = new Map();
    this.details = new Map();
    for (const name of Run.columns) this[name] = [];
  }

  get count() { return this.id.length; }

  /** Loads what is new; true if candidates were added. */
  async refresh() {
    const images = this.summary?.images;
    this.summary = await load(`${this.number}/summary`);
    // A benchmark that goes on adds scores to its schedules.
    if (images !== this.summary.images) for (const id of this.details.keys()) if (!this.byID.has(id)) this.details.delete(id);
    const before = this.count;
    if (isReport) {
      if (!before) for (const part of (await load(`${this.number}/points`)) ?? []) this.#append(part);
    } else {
      for (let more = true; more;) {
        const part = await load(`${this.number}/points?after=${this.last}`);
        this.#append(part);
        more = part.more;
      }
    }
    if (this.count !== before || !this.images_) {
      this.front = paretoFront(this, [...this.id.keys()]);
      this.onFront = new Set(this.front);
      this.#index((await load(`${this.number}/images`)) ?? []);
    }
    return this.count !== before;
  }

  #append(part) {
    const start = this.count;
    for (const name of Run.columns) for (const value of part[name]) this[name].push(value);
    for (let index = start; index < this.count; index++) this.byID.set(this.id[index], index);
    this.last = part.last ?? this.last;
  }

  #index(rows) {
    this.images_ = new Map();
    for (const [image, candidate, prompt, seed] of rows) {
      const key = candidate ?? 0;
      if (!this.images_.has(key)) this.images_.set(key, new Map());
      this.images_.get(key).set(`${prompt}/${seed}`, image);
    }
  }

  /** Image numbers by "prompt/seed"; of the uncached model for null. */
  imagesOf(candidate) { return this.images_?.get(candidate ?? 0) ?? new Map(); }

  imageSource(image) {
    return isReport ? reportAnswers[`${this.number}/image/${image}`] ?? null : `api/${this.number}/image/${image}`;
  }

  async layoutOfGenes() { return this.layout_ ??= await load(`${this.number}/layout`); }

  async detail(candidate) {
    if (!this.details.has(candidate)) {
      if (this.details.size > 200) this.details.clear();
      this.details.set(candidate, await load(`${this.number}/candidate?id=${candidate}`));
    }
    return this.details.get(candidate);
  }

  /** Hexadecimal genomes by candidate. */
  async genomes(ids) {
    if (isReport) return (await load(`${this.number}/genomes`)) ?? {};
    return load(`${this.number}/genomes?ids=${ids.slice(0, 500).join(",")}`);
  }

  page(name) { return load(`${this.number}/${name}`); }

  /** Schedules measured on other prompts; loaded once, and again when a benchmark has gone on. */
  async benchmarks() {
    if (!this.benchmarks_ || this.benchmarksAt !== this.summary.images) {
      this.benchmarks_ = await this.page("benchmarks");
      this.benchmarksAt = this.summary.images;
    }
    return this.benchmarks_;
  }

  /** What the run minimises, in words. */
  get costName() { return { latency: "modelled time", measured: "measured time", macs: "multiply-adds" }[this.summary.cost] ?? this.summary.cost; }

  /** By number; a benchmark adds its own. */
  get prompts() {
    if (this.prompts_?.size !== this.summary.prompts.length) this.prompts_ = new Map(this.summary.prompts.map(([id, text, set]) => [id, { text, set }]));
    return this.prompts_;
  }

  /** A value of the stored configuration, as written. */
  setting(section, key) {
    let current = "";
    for (const line of this.summary.configuration.split("\n")) {
      const heading = /^\[(.+)\]$/.exec(line);
      if (heading) current = heading[1];
      const entry = /^([\w-]+) = (.*)$/.exec(line);
      if (entry && current === section && entry[1] === key) return entry[2];
    }
    return null;
  }

  get model() { return (this.setting("model", "path") ?? "").replaceAll('"', "").split("/").pop(); }

  /** What a run works on that has no candidates yet; empty once it has some. */
  get beginning() {
    const { status, evaluations, connected, cost_tables: tables, reuse_errors: measured, cost } = this.summary;
    if (status !== "running" || evaluations) return "";
    if (!connected) return "The coordinator waits for workers.";
    if (cost === "latency" && !tables) return "The first worker measures what each component costs.";
    const images = this.summary.prompts.filter(([, , set]) => set === "calibration").length * Number(this.setting("prompts", "seeds_per_prompt") ?? 1);
    const total = Math.min(Number(this.setting("search", "measured_images") ?? 0), images);
    if (measured < total) return `Workers measure what reuse changes: ${measured} of ${total} images are done. Each takes as long as several uncached images.`;
    return "Workers evaluate the first candidates.";
  }

  /** A candidate's time relative to the uncached model; its cost where no time is known. */
  time(index) { return this.ratio[index] ?? this.cost[index]; }
}

/**
 * Indexes of the non-dominated candidates among `indexes`, by ascending cost; equal ones all stay, as in `pareto_front`.
 * `cost` maps an index to what is minimised, by default the run's own objective.
 */
export function paretoFront(run, indexes, cost = index => run.cost[index]) {
  const costs = new Map(indexes.map(index => [index, cost(index)]).filter(([, value]) => Number.isFinite(value)));
  const sorted = [...costs.keys()].sort((a, b) => costs.get(a) - costs.get(b) || run.quality[b] - run.quality[a]);
  const front = [];
  let best = -Infinity;
  for (let start = 0; start < sorted.length;) {
    const first = sorted[start];
    let end = start;
    while (end < sorted.length && costs.get(sorted[end]) === costs.get(first) && run.quality[sorted[end]] === run.quality[first]) end++;
    if (run.quality[first] > best) {
      front.push(...sorted.slice(start, end));
      best = run.quality[first];
    }
    start = end;
  }
  return front;
}

/** Kinds of origins with their names, in the order of the filter. */
export const originKinds = { heuristic: "FORA, TGATE", calibrated: "Calibrated", random: "Random", bred: "Bred", imported: "Imported" };

/** What a candidate comes from: a heuristic, measured reuse errors, chance, parents, or another run. */
export function originKind(origin) {
  if (/^(fora|tgate|evenly|default)/.test(origin)) return "heuristic";
  if (origin.startsWith("calibrated")) return "calibrated";
  if (origin.startsWith("random")) return "random";
  if (origin.startsWith("warm-start")) return "imported";
  return "bred";
}

/** All ancestors by generation, from the seeds to the parents. */
export function ancestors(run, candidate) {
  const found = new Set();
  const open = [candidate];
  while (open.length) {
    const index = run.byID.get(open.pop());
    if (index === undefined) continue;
    for (const parent of [run.parent_a[index], run.parent_b[index]]) {
      if (parent !== null && !found.has(parent)) {
        found.add(parent);
        open.push(parent);
      }
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** Calls `changed` with the numbers of the runs that have changed, as the server reports them; with null after an interruption. */
export function followChanges(changed, state) {
  if (isReport) return;
  let versions = {}, isBack = false;
  const source = new EventSource("api/changes");
  source.addEventListener("hello", () => {
    state(true);
    if (isBack) changed(null);
    isBack = false;
  });
  source.addEventListener("change", event => {
    const now = JSON.parse(event.data);
    const runs = Object.keys(now).filter(key => now[key] !== versions[key]).map(Number);
    versions = now;
    changed(runs);
  });
  source.addEventListener("error", () => {
    state(false);
    isBack = true;
  });
}
