// The Pareto explorer: candidates by cost and quality, the front, a choice by a limit, benchmarked schedules, a selection,
// and the details of what is chosen.
import { Unreachable, isReport, paretoFront, originKind, originKinds } from "./data.js";
import { el, figure, percent, scored, scorerName, shellWord, times, whole, command, say } from "./format.js";
import { Scatter, runColour } from "./plot.js";
import { showCandidate } from "./candidate.js";

const xAxes = {
  time: { title: "denoising time relative to the uncached model", value: (run, index) => run.time(index), label: percent, lowerIsBetter: true,
    shows: ["latency", "measured"], benchmarked: schedule => schedule.ratio },
  speed: { title: "speed-up relative to the uncached model", value: (run, index) => 1 / run.time(index), label: times, isLogarithmic: true,
    shows: ["latency", "measured"], benchmarked: schedule => 1 / schedule.ratio },
  gmacs: { title: "multiply-adds per image (billions)", value: (run, index) => run.gmacs[index] ?? NaN, label: figure, lowerIsBetter: true,
    shows: ["macs"], benchmarked: schedule => schedule.gmacs ?? NaN },
};

export class Explorer {
  constructor(app) {
    this.app = app;
    this.filter = { kinds: new Set(Object.keys(originKinds)), generation: Infinity, frontOnly: false };
    this.axis = "time";
    this.limit = 0.4;
    this.chosen = [];
    /** Whether the panel shows the best candidate within the limit, also when results change it; until a candidate is chosen. */
    this.isFollowing = true;
    /** Candidates inside the box drawn last, for the page of gene usage: {run, id}. */
    this.selection = [];
    this.benchmark = "";
    this.scatter = new Scatter({
      label: "Candidates by cost and quality. Left and right arrow keys go along the front, up and down through all candidates, Enter chooses, plus and minus zoom.",
      titles: {}, onselect: (point, isComparison) => this.choose(point.run, point.id ?? point.run.id[point.index], isComparison),
      onbrush: points => this.#brush(points),
      describe: point => this.#describe(point), format: { x: figure, y: figure },
    });
    this.unzoom = el("button", { type: "button", class: "quiet unzoom", hidden: true, onclick: () => this.scatter.reset() }, "Reset zoom");
    this.panel = el("section", { class: "panel card", "aria-label": "Candidate" });
    this.node = el("div", { class: "explorer" }, el("section", { class: "card" }, this.#controls(), this.scatter.node, this.frontNote = el("p", { class: "note" }), this.#legend()), this.panel);
    this.scatter.onzoom = isZoomed => { this.unzoom.hidden = !isZoomed; };
    this.scatter.node.append(this.unzoom);
  }

  #controls() {
    const limit = this.limitField = el("input", { type: "number", min: 1, max: 200, step: 1, value: 40, id: "limit", oninput: () => {
      this.limit = Number(limit.value) / 100;
      this.isFollowing = true;
      this.#remember();
      this.update();
    } });
    const axis = el("select", { "aria-label": "Horizontal axis", onchange: () => {
      this.axis = axis.value;
      this.scatter.reset();
      this.update();
    } }, el("option", { value: "time" }, "Time"), el("option", { value: "speed" }, "Speed-up"), el("option", { value: "gmacs" }, "Multiply-adds"));
    this.kinds = Object.entries(originKinds).map(([kind, text]) => {
      const box = el("input", { type: "checkbox", checked: true, onchange: () => {
        box.checked ? this.filter.kinds.add(kind) : this.filter.kinds.delete(kind);
        this.update();
      } });
      return el("label", { class: "check", "data-kind": kind }, box, text);
    });
    const front = el("input", { type: "checkbox", onchange: () => { this.filter.frontOnly = front.checked; this.update(); } });
    this.slider = el("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Up to generation", oninput: () => {
      this.filter.generation = Number(this.slider.value) >= Number(this.slider.max) ? Infinity : Number(this.slider.value);
      this.update();
    } });
    this.sliderText = el("output", { class: "note" });
    this.answer = el("div", { class: "answer" });
    this.overlay = el("select", { "aria-label": "Benchmarked schedules", hidden: true, onchange: () => { this.benchmark = this.overlay.value; this.scatter.reset(); this.update(); } });
    const brush = el("button", { type: "button", class: "quiet", "aria-pressed": "false", title: "Draw a box around candidates to see their gene usage (or drag with Alt)", onclick: () => {
      this.scatter.isBrushing = !this.scatter.isBrushing;
      brush.setAttribute("aria-pressed", String(this.scatter.isBrushing));
      this.scatter.canvas.classList.toggle("brushing", this.scatter.isBrushing);
    } }, "Select");
    this.selected = el("span", { class: "picked", role: "status" });
    return [
      el("div", { class: "choice" }, el("label", { for: "limit" }, "Best quality in at most"), limit, el("span", {}, "% of the time:"), this.answer),
      el("div", { class: "controls" }, axis, this.overlay, this.kinds, el("label", { class: "check" }, front, "Front only"),
        this.generations = el("span", { class: "slider" }, el("span", {}, "Up to generation"), this.slider, this.sliderText),
        brush, this.selected),
    ];
  }

  #legend() {
    const key = (kind, text) => el("span", { class: "key" }, el("i", { class: kind, "aria-hidden": "true" }), text);
    this.kindKeys = { heuristic: key("diamond", "FORA, TGATE"), imported: key("triangle", "imported") };
    return el("p", { class: "legend note" }, key("disc", "front"), key("dot", "all evaluated"), Object.values(this.kindKeys), this.benchmarkKey = el("span", { class: "key", hidden: true }, el("i", { class: "box-mark", "aria-hidden": "true" }), "benchmarked"),
      el("span", { class: "hint" }, "Click: details. Shift-click: compare. Drag: zoom. Arrow keys: walk."));
  }

  #describe(point) {
    const { run, index } = point;
    if (point.schedule) return [`${point.schedule.label}, benchmark ${point.schedule.set}`, `${percent(point.schedule.ratio)} of the time, ${times(1 / point.schedule.ratio)}`,
      scored(run.summary.quality, point.schedule.quality), `${point.schedule.images} images`];
    return [`candidate ${run.id[index]}${this.app.runs.length > 1 ? `, ${run.summary.name}` : ""}`,
      `${percent(run.time(index))} of the time, ${times(1 / run.time(index))}`,
      scored(run.summary.quality, run.quality[index]), `${run.origin[index]}, generation ${run.generation[index]}`];
  }

  /** Shows what the runs have now. */
  update() {
    const runs = this.app.runs.filter(run => run.visible);
    const axis = xAxes[this.axis];
    const points = [], lines = [], front = [], best = [];
    this.points = new Map();
    let last = 0;
    const present = new Set();
    for (const run of runs) {
      const paint = runs.length > 1 || run.number ? runColour(run.number) : "run-0";
      const dot = { shape: "dot", radius: 1.6, colour: runs.length > 1 ? paint : "dot", opacity: run.count > 5000 ? 0.35 : 0.7 };
      const styles = { random: dot, bred: dot, calibrated: dot, heuristic: { shape: "diamond", radius: 5.5, colour: "heuristic" }, imported: { shape: "triangle", radius: 5.5, colour: "imported" } };
      const member = { shape: "disc", radius: 4.5, colour: paint };
      const kept = [];
      for (let index = 0; index < run.count; index++) {
        if (run.generation[index] > last) last = run.generation[index];
        const kind = originKind(run.origin[index]);
        present.add(kind);
        if (run.generation[index] <= this.filter.generation && this.filter.kinds.has(kind)) kept.push(index);
      }
      // The line is the front over the shown axes; the answer comes from the run's own front, as that of `pick`.
      const members = new Set(paretoFront(run, kept, index => (axis.lowerIsBetter ? 1 : -1) * axis.value(run, index)));
      best.push(...(axis.shows.includes(run.summary.cost) ? [...members] : paretoFront(run, kept)).map(index => ({ run, index })));
      const above = [];
      for (const index of kept) {
        const isMember = members.has(index);
        const kind = originKind(run.origin[index]);
        if (this.filter.frontOnly && !isMember && kind !== "heuristic" && kind !== "imported") continue;
        const point = { x: axis.value(run, index), y: run.quality[index], run, index, isProminent: isMember, style: isMember ? member : styles[kind] };
        if (!Number.isFinite(point.x)) continue;
        this.points.set(`${run.number}/${run.id[index]}`, point);
        (isMember ? front : styles[kind] === dot ? points : above).push(point);
      }
      points.push(...above);
      const own = front.filter(point => point.run === run).sort((a, b) => axis.lowerIsBetter ? a.x - b.x : b.x - a.x);
      lines.push({ colour: paint, points: own, isStep: true });
    }
    points.push(...front, ...this.#benchmarked(runs, axis));
    const other = runs.filter(run => !axis.shows.includes(run.summary.cost));
    this.frontNote.textContent = other.length ? `The line is the front over the shown axes; the search minimised ${[...new Set(other.map(run => run.costName))].join(" and ")}.` : "";
    const sampled = runs.filter(run => isReport && run.count < run.summary.evaluations);
    if (sampled.length) this.frontNote.textContent += ` This report shows the front and a sample, ${whole(sampled[0].count)} of ${whole(sampled[0].summary.evaluations)} candidates.`;
    for (const label of this.kinds) label.hidden = present.size < 2 || !present.has(label.dataset.kind);
    for (const [kind, key] of Object.entries(this.kindKeys)) key.hidden = !present.has(kind);
    this.generations.hidden = !last;
    this.slider.max = last;
    if (this.filter.generation === Infinity) this.slider.value = last;
    this.sliderText.textContent = this.filter.generation === Infinity ? "all" : String(this.filter.generation);
    this.scatter.titles = { x: axis.title, y: runs.length ? scorerName(runs[0].summary.quality) : "" };
    this.scatter.format = { x: axis.label, y: figure };
    const mark = { time: this.limit, speed: 1 / this.limit }[this.axis];
    this.scatter.show(points, lines, Number.isFinite(mark) && mark > 0 ? [{ x: mark, text: `${figure(100 * this.limit, 3)} % of the time` }] : [], axis.isLogarithmic);
    if (!this.chosen.length && !runs.some(run => run.count)) this.#empty();
    this.#answer(best);
    this.#mark();
    // The points are new ones after an update.
    const hovered = this.scatter.hovered;
    if (hovered) this.scatter.hover(this.points.get(`${hovered.run.number}/${hovered.id ?? hovered.run.id[hovered.index]}`) ?? null);
    this.#offerBenchmarks(runs);
  }

  /** Schedules of the chosen benchmark; their quality is that on its prompts. */
  #benchmarked(runs, axis) {
    this.benchmarkKey.hidden = !this.benchmark;
    if (!this.benchmark) return [];
    return runs.flatMap(run => (run.benchmarks_?.schedules ?? []).filter(schedule => schedule.set === this.benchmark).map(schedule => ({
      x: axis.benchmarked(schedule), y: schedule.quality, run, id: schedule.id, schedule,
      style: { shape: /^(fora|tgate)/.test(schedule.label) ? "diamond" : "square", radius: 5.5, colour: /^(fora|tgate)/.test(schedule.label) ? "heuristic" : "benchmark" },
    }))).filter(point => Number.isFinite(point.x));
  }

  async #offerBenchmarks(runs) {
    const pages = await Promise.all(runs.map(run => run.benchmarks()));
    const sets = [...new Set(pages.flatMap(page => (page?.schedules ?? []).map(schedule => schedule.set)))];
    if (this.overlay.options.length === sets.length + 1) return;
    this.overlay.hidden = !sets.length;
    this.overlay.replaceChildren(el("option", { value: "" }, "No benchmark"), ...sets.map(set => el("option", { value: set, selected: set === this.benchmark }, `Benchmark ${set}`)));
  }

  #brush(points) {
    this.selection = points.filter(point => point.index !== undefined).map(point => ({ run: point.run, id: point.run.id[point.index] }));
    const count = this.selection.length;
    this.selected.replaceChildren(...(count ? [el("a", { href: "#genes", onclick: () => this.app.showGenes("selection") }, `Gene usage of ${whole(count)} selected`),
      el("button", { type: "button", class: "quiet", onclick: () => { this.scatter.brushed = null; this.#brush([]); this.scatter.draw(); } }, "Clear")] : []));
    say(`${whole(count)} candidates selected`);
  }

  /** The same choice as `ecad-coordinator pick --max-latency`. */
  #answer(front) {
    const time = point => xAxes.time.value(point.run, point.index);
    const best = front.filter(point => time(point) <= this.limit).sort((a, b) => b.run.quality[b.index] - a.run.quality[a.index])[0];
    if (!best) {
      const fastest = Math.min(...front.map(time));
      return this.answer.replaceChildren(el("span", {}, !front.length ? "no candidates yet" : this.limit > 0 ? `no candidate is that fast; the fastest takes ${percent(fastest)}` : "enter a number above 0"));
    }
    const id = best.run.id[best.index];
    this.answer.replaceChildren(el("button", { type: "button", class: "primary", onclick: () => this.choose(best.run, id) },
      `candidate ${id}: ${times(1 / time(best))}, ${scored(best.run.summary.quality, best.run.quality[best.index])}`));
    const [chosen, compared] = this.chosen;
    if (this.isFollowing && (compared || chosen?.id !== id || chosen?.run !== best.run)) this.#choose([{ run: best.run, id }]);
  }

  /** What is chosen, as an address to come back to: the run and one or two candidates, or the limit. */
  get address() {
    if (this.isFollowing) return this.limitField.value === "40" ? "#explorer" : `#explorer/limit/${this.limitField.value}`;
    return ["#explorer", ...(this.chosen.length ? [this.chosen[0].run.number, ...this.chosen.map(({ id }) => id)] : [])].join("/");
  }

  /** Chooses what an address names, if it is there. */
  restore([number, ...ids]) {
    if (number === "limit" && Number(ids[0]) > 0) {
      this.limitField.value = ids[0];
      this.limit = Number(ids[0]) / 100;
      this.isFollowing = true;
      return;
    }
    const run = this.app.runs[number];
    if (!run || !ids.length || location.hash === this.address) return;
    const known = ids.map(Number).filter(id => run.byID.has(id)).slice(0, 2);
    if (!known.length) return;
    this.isFollowing = false;
    this.#choose(known.map(id => ({ run, id })));
  }

  choose(run, id, isComparison = false) {
    this.isFollowing = false;
    this.#choose(isComparison && this.chosen.length ? [this.chosen[0], { run, id }] : [{ run, id }]);
    this.#remember();
    say(`candidate ${id} chosen`);
  }

  #choose(chosen) {
    this.chosen = chosen;
    this.#mark();
    this.#show();
  }

  #remember() { if (this.app.current === this) history.replaceState(null, "", this.address); }

  #mark() { this.scatter.select(this.chosen.map(({ run, id }) => this.points?.get(`${run.number}/${id}`))); }

  async #show() {
    const token = this.token = Symbol();
    const [first, second] = this.chosen;
    const content = await showCandidate(first, second, {
      choose: (run, id) => this.choose(run, id), compare: (run, id) => this.choose(run, id, true),
      clear: () => { this.chosen = this.chosen.slice(0, 1); this.#remember(); this.#mark(); this.#show(); },
      commands: this.#commands(first),
    }).catch(error => {
      if (!(error instanceof Unreachable)) throw error;
      return [el("p", { class: "note bad" }, "The dashboard does not answer: its program has ended, or cannot be reached.")];
    });
    if (token === this.token) this.panel.replaceChildren(...content);
  }

  #commands({ run, id }) {
    const folder = shellWord(run.summary.folder);
    const index = run.byID.get(id);
    const ratio = index === undefined ? null : run.time(index);
    const lines = [];
    if (ratio !== null && run.onFront?.has(index)) lines.push(`ecad-coordinator pick --run-dir ${folder} --max-latency ${Math.ceil(ratio * 1e4) / 1e4}`);
    lines.push(`ecad-coordinator export --run-dir ${folder} --candidate ${id} -o candidate-${id}.json`);
    return lines.map(command);
  }

  #empty() {
    this.panel.replaceChildren(el("p", { class: "note" }, "No candidate has been evaluated yet. The first ones appear here as results arrive."),
      ...this.app.runs.filter(run => run.visible && run.beginning).map(run => el("p", {}, run.beginning)));
  }
}
