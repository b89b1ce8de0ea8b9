// Elements, numbers, texts.

/** An HTML element. Texts are text nodes: markup in a prompt or a name stays text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function vector(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** Three to four significant digits, as a person reads them. */
export function figure(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toPrecision(3);
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const text = value.toFixed(Math.min(decimals, 6));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Numbers of a column with the same number of decimals, that of the largest with so many digits. */
export function aligned(values, digits = 4) {
  const size = Math.max(...values.filter(Number.isFinite).map(Math.abs));
  const decimals = size > 0 && Number.isFinite(size) ? Math.min(6, Math.max(0, digits - 1 - Math.floor(Math.log10(size)))) : 2;
  return value => Number.isFinite(value) ? value.toFixed(decimals) : "–";
}

export const whole = value => value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
export const percent = (value, digits = 3) => value === null || value === undefined ? "–" : `${figure(100 * value, digits)} %`;
export const times = (value, digits = 3) => value === null || value === undefined ? "–" : `${figure(value, digits)}×`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${figure(seconds, 3)} s`;
  const joined = (large, unit, small, rest) => small ? `${large} ${unit} ${small} ${rest}` : `${large} ${unit}`;
  const whole = Math.round(seconds);
  if (whole < 3600) return joined(Math.floor(whole / 60), "min", whole % 60, "s");
  if (seconds < 172800) return joined(Math.floor(whole / 3600), "h", Math.floor(whole % 3600 / 60), "min");
  return `${figure(seconds / 86400, 3)} days`;
}

/** A time of day where the reader is, such as 2026-11-27 10:58:12. */
export const moment = seconds => seconds ? new Date(seconds * 1000).toLocaleString("sv") : "–";

/** A run's status in words; for an interrupted one with the time of its last result. */
export function statusText({ status, last_result }) {
  return status === "interrupted" ? `interrupted, ${last_result ? `last result ${moment(last_result)}` : "no results"}` : status;
}

/** Name and unit of an objective or scorer; the server puts the table `scorerTitles` before this script. */
export const scorerName = name => scorerTitles[name] ?? name;

/** A score with its name, or its unit where that says it. */
export const scored = (name, value) => name === "psnr" ? `PSNR ${figure(value)} dB` : `${scorerName(name)} ${figure(value)}`;

/** A word of a shell's command line. */
export const shellWord = text => /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** Replaces what a node shows; its regions stay scrolled as they are. */
export function renew(node, ...children) {
  const places = [...node.querySelectorAll(".scroll")].map(region => [region.scrollLeft, region.scrollTop]);
  node.replaceChildren(...children.flat(2));
  node.querySelectorAll(".scroll").forEach((region, index) => { if (places[index]) [region.scrollLeft, region.scrollTop] = places[index]; });
}

/** A select whose choice survives that its options change; `options` are pairs of value and text. */
export function offer(select, options, value) {
  const key = JSON.stringify(options);
  if (select.dataset.options !== key) {
    select.dataset.options = key;
    select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  }
  select.value = value;
}

/** Tells users of screen readers. */
export function say(text) { document.getElementById("say").textContent = text; }

/** A command with a button that copies it. */
export function command(text) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": `Copy: ${text}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } }, "Copy");
  const code = el("code", {}, text);
  return el("div", { class: "command" }, code, button);
}

/** Saves a text as a file, without a server. */
export function save(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Comma-separated values (RFC 4180). */
export function csv(header, rows) {
  const field = value => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map(row => row.map(field).join(",") + "\r\n").join("");
}

/** A table; numbers are aligned on the right. With `isTight`, the last column takes the room that is left. */
export function table(header, rows, caption, isTight = false) {
  const numeric = header.map((_, column) => rows.every(row => typeof row[column] !== "object" && /^[–\d.,\s×%+-]*( s| dB)?$/.test(String(row[column]))));
  const cell = (tag, value, column) => el(tag, { class: numeric[column] ? "number" : null, scope: tag === "th" ? "col" : null }, value ?? "–");
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: isTight ? "tight" : null }, el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, header.map((text, column) => cell("th", text, column)))),
      el("tbody", {}, rows.map(row => el("tr", {}, row.map((value, column) => cell("td", value, column)))))));
}
