// One candidate, or two side by side: images, scores by prompt, schedule, lineage, commands.
import { ancestors, isReport, originKind } from "./data.js";
import { aligned, el, figure, percent, scored, scorerName, times, table, whole } from "./format.js";
import { geneBit, heatMaps } from "./plot.js";

/** The content of the panel for a candidate and, if given, one to compare it with; each is {run, id}. */
export async function showCandidate(first, second, actions) {
  const shown = [first, second].filter(Boolean);
  const details = await Promise.all(shown.map(({ run, id }) => run.detail(id)));
  const layout = await first.run.layoutOfGenes();
  const parts = [
    el("div", { class: "heads" }, shown.map(({ run, id }, position) => candidateHead(run, id, position, details[position], actions))),
    section("Images", candidateImages(shown, actions)),
  ];
  if (!details[0]) {
    parts.push(el("p", { class: "note" }, isReport ? "This report has the details of the front, of seeds and of benchmarked schedules; the history has all." : "No details are stored."));
    return [...parts, section("Take it", actions.commands)];
  }
  parts.push(section("Take it", actions.commands));
  parts.push(section("Scores by prompt, worst first", promptScores(shown, details)));
  const genomes = details.map(detail => detail?.genome);
  const share = genome => gene => geneBit(genome, gene);
  parts.push(section(second && genomes[1] ? "Schedules: where they differ" : "Schedule: steps × blocks, filled where recomputed", [
    second && genomes[1] ? el("p", { class: "legend note" }, el("span", { class: "key" }, el("i", { class: "square only-first" }), `only ${first.id} recomputes`),
      el("span", { class: "key" }, el("i", { class: "square only-second" }), `only ${second.id} recomputes`)) : null,
    heatMaps(layout, share(genomes[0]), second && genomes[1] && genomes[1].length === genomes[0].length ? share(genomes[1]) : null),
    details[0].gate_step ? el("p", { class: "note" }, `No guidance from step ${details[0].gate_step} on (TGATE).`) : null]));
  parts.push(section("Lineage", lineage(first.run, first.id, actions)));
  return parts;
}

const section = (title, ...content) => el("section", {}, el("h3", {}, title), content);

function candidateHead(run, id, position, detail, actions) {
  const index = run.byID.get(id);
  if (index === undefined) {
    // A schedule that was only benchmarked.
    return el("div", {}, el("h2", {}, detail?.label ?? `Candidate ${id}`),
      el("dl", { class: "facts" }, (detail?.statistics ?? []).map(row => fact(`${scorerName(row.scorer)}, ${row.set}`, figure(row.mean)))),
      el("span", { class: "badge off" }, "benchmarked"));
  }
  const ratio = run.time(index);
  return el("div", {},
    el("h2", {}, el("i", { class: `ring-key ${position ? "compared" : "selected"}` }), `Candidate ${id}`),
    el("dl", { class: "facts" },
      ...timeFacts(run, index), fact("Speed-up", times(1 / ratio)), fact(scorerName(run.summary.quality), figure(run.quality[index])),
      run.gmacs[index] ? fact("Multiply-adds", `${figure(run.gmacs[index], 3)} G`) : null, fact("Generation", run.generation[index]),
      fact("Origin", run.origin[index]), fact("Images", run.images[index])),
    el("div", { class: "standing" }, run.onFront.has(index) ? el("span", { class: "badge" }, "on the front") : el("span", { class: "badge off" }, "dominated"),
      position ? el("button", { type: "button", class: "quiet", onclick: actions.clear }, "End comparison") : null));
}

/** The time that `pick` compares and, if that is the modelled one, the time measured with the images. */
function timeFacts(run, index) {
  const ratio = run.time(index);
  if (run.summary.cost !== "latency" || run.modelled[index] === null || run.measured[index] === null) return [fact("Time", percent(ratio))];
  return [fact("Time, modelled", percent(ratio)), fact("Time, measured", percent(run.measured[index]))];
}

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)));

function candidateImages(shown, actions) {
  const { run, id } = shown[0];
  const references = run.imagesOf(null);
  const sets = shown.map(candidate => candidate.run.imagesOf(candidate.id));
  const keys = [...references.keys()].filter(key => sets.some(set => set.has(key)));
  if (!keys.length && !sets[0].size) {
    const index = run.byID.get(id);
    if (index === undefined) return el("p", { class: "note" }, "A benchmark stores no images.");
    const time = position => run.time(position);
    const nearest = [...run.images_.keys()].filter(candidate => candidate && run.byID.has(candidate))
      .sort((a, b) => Math.abs(time(run.byID.get(a)) - time(index)) - Math.abs(time(run.byID.get(b)) - time(index)))[0];
    return el("p", { class: "note" }, "No images of this candidate are stored. ",
      nearest ? el("button", { type: "button", class: "quiet", onclick: () => actions.choose(run, nearest) }, `Show candidate ${nearest}, the nearest with images`) : null);
  }
  const source = (owner, image) => image === undefined ? null : owner.imageSource(image);
  const columns = (keys.length ? keys : [...sets[0].keys()]).map(key => ({
    text: run.prompts.get(Number(key.split("/")[0]))?.text ?? "",
    pictures: [{ label: "uncached", source: source(run, references.get(key)) },
      ...shown.map((candidate, position) => ({ label: `candidate ${candidate.id}`, source: source(candidate.run, sets[position].get(key)) }))],
  }));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Images" }, el("div", { class: "sheet" }, columns.map(({ text, pictures }, column) =>
    el("figure", {}, pictures.map(({ label, source }) => [el("div", { class: "label" }, label), source
      ? el("button", { type: "button", class: "picture", title: "Enlarge", onclick: () => enlarge(columns, column) }, el("img", { src: source, alt: `${label}: ${text}`, loading: "lazy" }))
      : el("span", { class: "missing" }, "–")]), el("figcaption", { title: text, dir: "auto" }, text)))));
}

/** The images of one prompt beside each other, large; arrow keys go to the other prompts. */
function enlarge(columns, start) {
  let column = start;
  const content = el("div", { class: "gallery" }), caption = el("p", { dir: "auto" });
  const show = by => {
    column = (column + by + columns.length) % columns.length;
    const { text, pictures } = columns[column];
    caption.textContent = text;
    content.replaceChildren(...pictures.map(({ label, source }) => {
      const image = source ? el("img", { src: source, alt: `${label}: ${text}`, draggable: "false" }) : el("span", { class: "missing" }, "–");
      const swap = to => () => { if (source && to) image.src = to; };
      return el("figure", { onpointerdown: swap(pictures[0].source), onpointerup: swap(source), onpointerleave: swap(source) }, image, el("figcaption", { class: "note" }, label));
    }));
  };
  const dialog = el("dialog", { "aria-label": "Images", onclose: () => dialog.remove(),
    onclick: event => { if (event.target === dialog) dialog.close(); },
    onkeydown: event => { if (event.key === "ArrowRight" || event.key === "ArrowLeft") show(event.key === "ArrowRight" ? 1 : -1); },
  }, content, caption, el("div", { class: "controls" }, el("button", { type: "button", onclick: () => show(-1) }, "Previous prompt"), el("button", { type: "button", onclick: () => show(1) }, "Next prompt"),
    el("span", { class: "note" }, "Press on an image to see the uncached one in its place."), el("button", { type: "button", class: "end", onclick: () => dialog.close() }, "Close")));
  show(0);
  document.body.append(dialog);
  dialog.showModal();
}

function promptScores(shown, details) {
  const { run } = shown[0];
  const scorers = [...new Set(details[0].scores.map(score => score[2]))];
  const quality = scorers.includes(run.summary.quality) ? run.summary.quality : scorers[0];
  const value = (scores, prompt, seed, scorer) => scores?.find(score => score[0] === prompt && score[1] === seed && score[2] === scorer)?.[3];
  const best = { ssim: 1, "latent-error": 0 };
  const rows = details[0].scores.filter(score => score[2] === quality).sort((a, b) => a[3] - b[3]);
  if (!rows.length) return el("p", { class: "note" }, "No scores are stored.");
  const low = rows[0][3], high = rows.at(-1)[3];
  const uncached = row => best[quality] ?? value(details[0].uncached, row[0], row[1], quality);
  // The PSNR of an image with itself is infinite; other scores of uncached images may not have been measured.
  const hasLoss = quality !== "psnr" && rows.some(row => uncached(row) !== undefined);
  // A prompt may have a low score without a cache as well: what the schedule loses says more, where it is known.
  const sortsByLoss = hasLoss && rows.every(row => uncached(row) !== undefined);
  if (sortsByLoss) rows.sort((a, b) => uncached(b) - b[3] - (uncached(a) - a[3]));
  const [worst] = rows;
  const text = run.prompts.get(worst[0])?.text ?? String(worst[0]);
  const summary = el("p", {}, "Worst prompt: ", el("q", { dir: "auto" }, text.length > 140 ? `${text.slice(0, 140)}…` : text),
    sortsByLoss ? `, ${scored(quality, worst[3])} instead of ${figure(uncached(worst))} uncached.` : `, ${scored(quality, worst[3])}.`);
  const others = scorers.filter(scorer => scorer !== quality);
  const print = new Map(scorers.map(scorer => [scorer, aligned(details[0].scores.filter(score => score[2] === scorer).map(score => score[3]))]));
  const header = ["Prompt", scorerName(quality), ...(shown[1] ? [`of ${shown[1].id}`] : []), ...(hasLoss ? ["Loss"] : []), ...others.map(scorerName)];
  return [summary, table(header, rows.slice(0, 200).map(row => {
    const loss = uncached(row) === undefined ? "–" : print.get(quality)(uncached(row) - row[3]);
    const width = high > low ? 12 + 88 * (row[3] - low) / (high - low) : 100;
    return [el("span", { class: "prompt", dir: "auto", title: run.prompts.get(row[0])?.text }, run.prompts.get(row[0])?.text ?? row[0]),
      el("span", { class: "bar" }, el("i", { style: { width: `${width}%` } }), el("span", {}, print.get(quality)(row[3]))),
      ...(shown[1] ? [print.get(quality)(value(details[1]?.scores, row[0], row[1], quality))] : []), ...(hasLoss ? [loss] : []),
      ...others.map(scorer => print.get(scorer)(value(details[0].scores, row[0], row[1], scorer)))];
  }), "Scores by prompt")];
}

function lineage(run, id, actions) {
  const found = ancestors(run, id);
  const index = run.byID.get(id);
  if (index === undefined) return el("p", { class: "note" }, "Not bred by the search.");
  if (!found.length) {
    return el("p", { class: "note" }, originKind(run.origin[index]) === "calibrated"
      ? `Solved from the measured reuse errors${run.origin[index].endsWith("perturbed") ? ", varied at random" : ""}: it has no parents.` : "A seed: it has no parents.");
  }
  const seeds = found.filter(ancestor => {
    const index = run.byID.get(ancestor);
    return index !== undefined && run.parent_a[index] === null && run.parent_b[index] === null;
  });
  const chip = ancestor => {
    const index = run.byID.get(ancestor);
    return el("button", { type: "button", class: "chip", onclick: () => actions.choose(run, ancestor) },
      index === undefined ? String(ancestor) : `${ancestor} · ${run.origin[index]}`);
  };
  const parents = [run.parent_a[index], run.parent_b[index]].filter((parent, position, all) => parent !== null && all.indexOf(parent) === position);
  return [
    el("p", {}, "Parents: ", parents.map(chip)),
    el("p", {}, `Descends from ${whole(found.length)} ${found.length === 1 ? "candidate" : "candidates"}; without parents: `, seeds.slice(0, 16).map(chip), seeds.length > 16 ? " …" : null),
    el("p", {}, "Compare with: ", el("button", { type: "button", class: "chip", onclick: () => actions.compare(run, parents[0]) }, `parent ${parents[0]}`)),
  ];
}
