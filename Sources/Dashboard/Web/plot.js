// Axes, the scatter plot of candidates, line charts and heat maps.
import { duration, el, figure, vector, whole } from "./format.js";

/** A colour of the style sheet. */
export const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Colours of runs beside each other. */
export const runColour = number => `run-${number % 6}`;

/** The smallest round number of seconds that is at least so long. */
export function roundInterval(seconds) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200];
  return steps.find(step => step >= seconds) ?? 86400 * Math.ceil(seconds / 86400);
}

/** A linear or logarithmic scale with round ticks; with `isTime`, round numbers of seconds, minutes or hours; with `isWhole`, integers. */
export class Scale {
  constructor(low, high, from, to, isLogarithmic = false) {
    if (!(high > low)) [low, high] = [low - Math.max(Math.abs(low), 1) * 0.05, low + Math.max(Math.abs(low), 1) * 0.05];
    Object.assign(this, { low, high, from, to, isLogarithmic });
  }

  #map(value) { return this.isLogarithmic ? Math.log(value) : value; }

  at(value) {
    const share = (this.#map(value) - this.#map(this.low)) / (this.#map(this.high) - this.#map(this.low));
    return this.from + share * (this.to - this.from);
  }

  value(position) {
    const share = (position - this.from) / (this.to - this.from);
    const mapped = this.#map(this.low) + share * (this.#map(this.high) - this.#map(this.low));
    return this.isLogarithmic ? Math.exp(mapped) : mapped;
  }

  ticks(count) {
    if (this.isLogarithmic && this.high / this.low > 3) {
      const round = [];
      for (let power = Math.floor(Math.log10(this.low)); power <= Math.log10(this.high); power++) {
        for (const digit of [1, 1.5, 2, 3, 5, 7]) round.push(digit * 10 ** power);
      }
      const inside = round.filter(tick => tick >= this.low && tick <= this.high);
      if (inside.length > 1) return inside;
    }
    const rough = (this.high - this.low) / count;
    const magnitude = 10 ** Math.floor(Math.log10(rough));
    const digits = this.isWhole ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10];
    const round = this.isTime ? roundInterval(rough) : digits.map(digit => digit * magnitude).find(size => size >= rough);
    const step = this.isWhole ? Math.max(round, 1) : round;
    const ticks = [];
    for (let tick = Math.ceil(this.low / step) * step; tick <= this.high + step * 1e-9; tick += step) ticks.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
    return ticks;
  }
}

/** Labels of ticks with as many digits as tell them apart. */
function tickLabels(scale, count, label) {
  const ticks = scale.ticks(count);
  const size = Math.max(...ticks.map(Math.abs)), step = Math.abs(ticks[1] - ticks[0]);
  const digits = size > 0 && step > 0 ? Math.max(3, Math.floor(Math.log10(size)) - Math.floor(Math.log10(step)) + 2) : 4;
  return ticks.map(tick => [tick, label(tick, digits)]);
}

/** Grid lines, tick labels and titles as SVG. */
export function axes(x, y, size, titles, label = { x: figure, y: figure }) {
  const { left, right, top, bottom, width, height } = size;
  return [
    tickLabels(y, Math.max(3, height / 70), label.y).map(([tick, text]) => [
      vector("line", { class: "grid", x1: left, x2: width - right, y1: y.at(tick), y2: y.at(tick) }),
      vector("text", { class: "tick", x: left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, text)]),
    tickLabels(x, Math.max(3, width / 110), label.x).map(([tick, text]) => [
      vector("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: top, y2: height - bottom }),
      vector("text", { class: "tick", x: x.at(tick), y: height - bottom + 18, "text-anchor": "middle" }, text)]),
    vector("text", { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, titles.x),
    vector("text", { class: "axis", "text-anchor": "middle", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)` }, titles.y),
  ].flat(2);
}

/**
 * Points on a canvas under axes in SVG: hover, click, drag to zoom, wheel, arrow keys. While `isBrushing`, or with Alt, a
 * drag selects the points in its box instead.
 *
 * `layers` are arrays of {x, y, style, key}; the later ones are drawn above.
 */
export class Scatter {
  constructor({ label, titles, onselect, onbrush, describe, format }) {
    Object.assign(this, { titles, onselect, onbrush, describe, format, isBrushing: false, brushed: null, points: [], lines: [], marks: [], zoom: null, hovered: null, selected: [] });
    this.frame = vector("svg", { class: "frame", "aria-hidden": "true" });
    this.canvas = el("canvas", { tabindex: "0", role: "application", "aria-label": label });
    this.over = vector("svg", { class: "over", "aria-hidden": "true" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.node = el("div", { class: "plot" }, this.frame, this.canvas, this.over, this.tip);
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  show(points, lines, marks, isLogarithmic) {
    Object.assign(this, { points, lines, marks, isLogarithmic });
    this.draw();
  }

  draw() {
    const width = this.node.clientWidth, height = this.node.clientHeight;
    if (!width || !height) return;
    const size = this.size = { left: 62, right: 16, top: 14, bottom: 44, width, height };
    let [xLow, xHigh, yLow, yHigh] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const point of this.points) {
      if (point.x < xLow) xLow = point.x;
      if (point.x > xHigh) xHigh = point.x;
      if (point.y < yLow) yLow = point.y;
      if (point.y > yHigh) yHigh = point.y;
    }
    if (!this.points.length) [xLow, xHigh, yLow, yHigh] = [0.1, 1, 0, 1];
    const pad = (yHigh - yLow) * 0.04;
    const margin = (xHigh - xLow) * 0.03;
    const view = this.zoom ?? (this.isLogarithmic
      ? [xLow / (xHigh / xLow) ** 0.03, xHigh * (xHigh / xLow) ** 0.03, yLow - pad, yHigh + pad]
      : [xLow - margin, xHigh + margin, yLow - pad, yHigh + pad]);
    this.x = new Scale(view[0], view[1], size.left, width - size.right, this.isLogarithmic);
    this.y = new Scale(view[2], view[3], height - size.bottom, size.top);
    this.onzoom?.(this.zoom !== null);
    this.frame.replaceChildren(...axes(this.x, this.y, size, this.titles, this.format));
    this.#drawPoints();
    this.#drawOver();
  }

  #drawPoints() {
    const { width, height, left, right, top, bottom } = this.size;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    context.beginPath();
    context.rect(left, top, width - left - right, height - top - bottom);
    context.clip();
    for (const line of this.lines) {
      context.strokeStyle = colour(line.colour);
      context.lineWidth = 2;
      context.setLineDash(line.dashes ?? []);
      context.beginPath();
      line.points.forEach((point, index) => {
        const [px, py] = [this.x.at(point.x), this.y.at(point.y)];
        if (index && line.isStep) context.lineTo(px, this.y.at(line.points[index - 1].y));
        index ? context.lineTo(px, py) : context.moveTo(px, py);
      });
      context.stroke();
    }
    context.setLineDash([]);
    const styles = new Map();
    let dots = null;
    this.grid = new Map();
    this.cell = 16;
    for (const point of this.points) {
      const px = point.px = this.x.at(point.x), py = point.py = this.y.at(point.y);
      if (px < left || px > width - right || py < top || py > height - bottom) continue;
      const key = (px / this.cell | 0) * 4096 + (py / this.cell | 0);
      const bucket = this.grid.get(key);
      if (bucket) bucket.push(point); else this.grid.set(key, [point]);
      if (!styles.has(point.style)) styles.set(point.style, { ...point.style, paint: colour(point.style.colour) });
      const style = styles.get(point.style);
      if (style.shape !== "dot") {
        drawMark(context, px, py, style);
        dots = null;
        continue;
      }
      // Tens of thousands of them: the style is set once for each run of equal ones.
      if (dots !== style) {
        context.fillStyle = style.paint;
        context.globalAlpha = style.opacity;
        dots = style;
      }
      context.fillRect(px - style.radius, py - style.radius, 2 * style.radius, 2 * style.radius);
    }
    context.globalAlpha = 1;
  }

  #drawOver() {
    const { top, bottom, height, left, right, width } = this.size;
    const rings = [[this.hovered, "hovered"], ...this.selected.map((point, index) => [point, index ? "compared" : "selected"])]
      .filter(([point]) => point?.px !== undefined)
      .filter(([point]) => point.px >= left - 1 && point.px <= width - right + 1 && point.py >= top - 1 && point.py <= height - bottom + 1)
      .map(([point, kind]) => vector("circle", { class: `ring ${kind}`, cx: point.px, cy: point.py, r: kind === "hovered" ? 8 : 10 }));
    const marks = this.marks.filter(mark => this.x.at(mark.x) > left && this.x.at(mark.x) < width - right).map(mark => [
      vector("line", { class: "limit", x1: this.x.at(mark.x), x2: this.x.at(mark.x), y1: top, y2: height - bottom }),
      vector("text", { class: "limit-label", x: this.x.at(mark.x) + 5, y: height - bottom - 8 }, mark.text)]);
    const box = this.drag ? [vector("rect", { class: "box", x: Math.min(this.drag[0], this.drag[2]), y: Math.min(this.drag[1], this.drag[3]),
      width: Math.abs(this.drag[2] - this.drag[0]), height: Math.abs(this.drag[3] - this.drag[1]) })] : [];
    if (this.brushed && !this.drag) {
      const [x1, x2, y1, y2] = this.brushed, [px, py] = [this.x.at(x1), this.y.at(y2)];
      box.push(vector("rect", { class: "box brushed", x: Math.min(px, this.x.at(x2)), y: Math.min(py, this.y.at(y1)), width: Math.abs(this.x.at(x2) - px), height: Math.abs(this.y.at(y1) - py) }));
    }
    this.over.replaceChildren(...marks.flat(), ...rings, ...box);
  }

  select(points) {
    this.selected = points.filter(Boolean);
    if (this.size) this.#drawOver();
  }

  hover(point, isAnnounced = false) {
    this.hovered = point;
    this.#drawOver();
    this.tip.hidden = !point;
    if (!point) return;
    const text = this.describe(point);
    this.tip.replaceChildren(...text.map((line, index) => el(index ? "div" : "strong", {}, line)));
    const flip = point.px > this.size.width - 220;
    this.tip.style.setProperty("left", `${flip ? point.px - this.tip.offsetWidth - 14 : point.px + 14}px`);
    this.tip.style.setProperty("top", `${Math.max(4, Math.min(point.py - 10, this.size.height - this.tip.offsetHeight - 8))}px`);
    if (isAnnounced) document.getElementById("say").textContent = text.join(", ");
  }

  /** The nearest point within `reach` pixels; prominent ones count as nearer. */
  nearest(px, py, reach = 22) {
    let best = null, bestDistance = reach * reach;
    const span = Math.ceil(reach / this.cell);
    const column = px / this.cell | 0, row = py / this.cell | 0;
    for (let dx = -span; dx <= span; dx++) {
      for (let dy = -span; dy <= span; dy++) {
        for (const point of this.grid?.get((column + dx) * 4096 + row + dy) ?? []) {
          const distance = ((point.px - px) ** 2 + (point.py - py) ** 2) * (point.isProminent ? 0.3 : 1);
          if (distance < bestDistance) [best, bestDistance] = [point, distance];
        }
      }
    }
    return best;
  }

  zoomBy(factor, px = this.size.width / 2, py = this.size.height / 2) {
    const scaled = (scale, position) => {
      const ends = [scale.from, scale.to].map(end => scale.value(position + (end - position) * factor));
      return [Math.min(...ends), Math.max(...ends)];
    };
    this.zoom = [...scaled(this.x, px), ...scaled(this.y, py)];
    this.draw();
  }

  reset() {
    this.zoom = null;
    this.brushed = null;
    this.draw();
  }

  #position(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #listen() {
    const canvas = this.canvas;
    let pressed = null;
    canvas.addEventListener("pointermove", event => {
      const [px, py] = this.#position(event);
      if (pressed && (event.pointerType === "mouse" || this.isBrushing) && Math.hypot(px - pressed[0], py - pressed[1]) > 6) {
        this.drag = [...pressed, px, py];
        this.tip.hidden = true;
        return this.#drawOver();
      }
      const point = this.nearest(px, py);
      if (point !== this.hovered) this.hover(point);
      canvas.style.setProperty("cursor", point ? "pointer" : "crosshair");
    });
    canvas.addEventListener("pointerleave", () => { if (document.activeElement !== canvas) this.hover(null); });
    canvas.addEventListener("pointerdown", event => {
      pressed = this.#position(event);
      if (event.pointerType === "mouse" || this.isBrushing) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", event => {
      const [px, py] = this.#position(event);
      const drag = this.drag;
      [this.drag, pressed] = [null, null];
      if (drag) {
        const xs = [this.x.value(drag[0]), this.x.value(drag[2])], ys = [this.y.value(drag[1]), this.y.value(drag[3])];
        const box = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
        const isLarge = Math.abs(drag[0] - drag[2]) > 8 && Math.abs(drag[1] - drag[3]) > 8;
        if (this.isBrushing || event.altKey) {
          this.brushed = isLarge ? box : null;
          this.onbrush(isLarge ? this.points.filter(({ x, y }) => x >= box[0] && x <= box[1] && y >= box[2] && y <= box[3]) : []);
        } else if (isLarge) this.zoom = box;
        return this.draw();
      }
      const point = this.nearest(px, py, event.pointerType === "touch" ? 34 : 22);
      if (point) this.onselect(point, event.shiftKey);
    });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoomBy(event.deltaY > 0 ? 1.2 : 1 / 1.2, ...this.#position(event));
    }, { passive: false });
    canvas.addEventListener("keydown", event => this.#key(event));
    canvas.addEventListener("blur", () => this.hover(null));
  }

  /** Left and right go along the front, up and down through all points by quality; Enter chooses, Escape resets. */
  #key(event) {
    const keys = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1 };
    if (event.key in keys) {
      const isAlong = event.key === "ArrowLeft" || event.key === "ArrowRight";
      const order = isAlong ? this.points.filter(point => point.isProminent).sort((a, b) => a.x - b.x || a.y - b.y) : [...this.points].sort((a, b) => a.y - b.y);
      if (!order.length) return;
      const current = order.indexOf(this.hovered ?? this.selected[0]);
      const next = current < 0 ? (keys[event.key] > 0 ? 0 : order.length - 1) : Math.max(0, Math.min(order.length - 1, current + keys[event.key]));
      this.hover(order[next], true);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.hovered) this.onselect(this.hovered, event.shiftKey);
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1 / 1.4);
    else if (event.key === "-") this.zoomBy(1.4);
    else if (event.key === "Escape" || event.key === "0") this.reset();
    else return;
    event.preventDefault();
  }
}

/** A mark of a shape: disc, square, diamond or triangle. */
function drawMark(context, px, py, { shape, radius, paint }) {
  const polygon = corners => corners.forEach(([dx, dy], corner) => corner ? context.lineTo(px + dx * radius, py + dy * radius) : context.moveTo(px + dx * radius, py + dy * radius));
  context.globalAlpha = 1;
  context.beginPath();
  if (shape === "disc") context.arc(px, py, radius, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(px - 0.8 * radius, py - 0.8 * radius, 1.6 * radius, 1.6 * radius);
  else polygon(shape === "diamond" ? [[0, -1], [1, 0], [0, 1], [-1, 0]] : [[0, -1.1], [1, 0.8], [-1, 0.8]]);
  context.closePath();
  if (shape === "disc") {
    context.fillStyle = paint;
    context.fill();
  } else {
    context.strokeStyle = paint;
    context.lineWidth = 2;
    context.stroke();
  }
}

/** Lines over a common axis as SVG that scales with its box; `series` are {name, colour, x, y}. */
export function lineChart({ label, series, titles, isStep = false, fromZero = false, format }) {
  const node = el("div", { class: "chart", role: "img", "aria-label": `${label}. ${series.map(line => `${line.name}: ${line.y.length ? `${figure(line.y[0])} to ${figure(line.y.at(-1))}` : "no data"}`).join("; ")}` });
  const draw = () => {
    const width = node.clientWidth, height = node.clientHeight;
    if (!width || !height) return;
    const size = { left: 62, right: 14, top: 12, bottom: 42, width, height };
    const all = key => series.flatMap(line => line[key]).filter(Number.isFinite);
    if (!all("x").length) return node.replaceChildren(el("p", { class: "note" }, "No data yet."));
    const high = Math.max(...bounds(all("y")), fromZero ? 0 : -Infinity), low = fromZero ? 0 : Math.min(...bounds(all("y")));
    const x = new Scale(...bounds(all("x")), size.left, width - size.right);
    x.isTime = format?.x === duration;
    x.isWhole = format?.x === whole;
    const y = new Scale(low, high + (high - low) * 0.05, height - size.bottom, size.top);
    const paths = series.map(line => {
      const parts = line.x.map((value, index) => {
        const place = `${x.at(value).toFixed(1)} ${y.at(line.y[index]).toFixed(1)}`;
        return !index ? `M${place}` : isStep ? `L${x.at(value).toFixed(1)} ${y.at(line.y[index - 1]).toFixed(1)} L${place}` : `L${place}`;
      });
      return [vector("path", { class: "line", d: parts.join(" "), style: { stroke: `var(--${line.colour})` } }),
        line.x.length < 60 ? line.x.map((value, index) => vector("circle", { cx: x.at(value), cy: y.at(line.y[index]), r: 3, style: { fill: `var(--${line.colour})` } },
          vector("title", {}, `${(format?.x ?? figure)(value)}: ${(format?.y ?? figure)(line.y[index])}`))) : []];
    });
    node.replaceChildren(vector("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, axes(x, y, size, titles, { x: format?.x ?? figure, y: format?.y ?? figure }), paths));
  };
  new ResizeObserver(draw).observe(node);
  return node;
}

/** The smallest and the largest of many values. */
export function bounds(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/**
 * A heat map for each component: steps as columns, blocks as rows. `share` gives 0 to 1 for a gene; `other`, if given, is
 * compared with it: cells that only one of the two recomputes stand out. `width` is that of one map in pixels at most.
 */
export function heatMaps(layout, share, other = null, width = 230) {
  const components = [...new Set(layout.component)];
  const blocks = Math.max(...bounds(layout.block)) + 1, steps = Math.max(...bounds(layout.step)) + 1;
  const cell = Math.max(4, Math.min(width > 300 ? 16 : 12, Math.floor(width / steps)));
  return el("div", { class: "maps" }, components.map(component => {
    const cells = [];
    let sum = 0, count = 0;
    const rows = new Map();
    layout.component.forEach((name, gene) => {
      if (name !== component) return;
      const block = layout.block[gene];
      if (!rows.has(block)) rows.set(block, rows.size);
      const value = share(gene);
      sum += value;
      count++;
      const difference = other ? value - other(gene) : 0;
      cells.push(vector("rect", { x: 22 + layout.step[gene] * cell, y: 16 + rows.get(block) * cell, width: cell - 1, height: cell - 1,
        class: difference > 0 ? "only-first" : difference < 0 ? "only-second" : "cell", style: difference ? {} : { "fill-opacity": (0.08 + 0.92 * value).toFixed(3) } },
      vector("title", {}, `${component}, step ${layout.step[gene]}, block ${block}: ${value === 1 ? "recompute" : value === 0 ? "reuse" : `${Math.round(100 * value)} % recompute`}`)));
    });
    const mapWidth = 24 + steps * cell, height = 18 + rows.size * cell;
    const labels = [0, Math.floor(steps / 2), steps - 1].map(step => vector("text", { class: "tick", x: 22 + step * cell + cell / 2, y: 11, "text-anchor": "middle" }, step));
    const sides = [0, rows.size - 1].map(row => vector("text", { class: "tick", x: 18, y: 16 + row * cell + cell - 2, "text-anchor": "end" }, row));
    return el("figure", {}, el("figcaption", {}, `${component} `, el("span", { class: "note" }, `${Math.round(100 * sum / count)} % recomputed`)),
      vector("svg", { viewBox: `0 0 ${mapWidth} ${height}`, width: mapWidth, height, role: "img",
        "aria-label": `${component}: ${Math.round(100 * sum / count)} percent of ${steps} steps and ${rows.size} of ${blocks} blocks recomputed` }, labels, sides, cells));
  }));
}

/** Whether a gene is set in a hexadecimal genome: gene g is bit g % 8 of byte g / 8. */
export const geneBit = (genome, gene) => parseInt(genome.substr((gene >> 3) * 2, 2), 16) >> (gene & 7) & 1;
