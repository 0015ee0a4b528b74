// Curves over epochs: a metric to choose, mean ± deviation or every run, linear or logarithmic.
"use strict";

const TALL = 6; // times the least last value: a linear scale reaches at least this far
const APART = 20; // times the least last value: other last values up to this stay in view
const LETTER = 7.8; // room for a character of a label of dashed lines
const LABEL = 17; // least distance of two of these labels
const FAR = 1e4; // heights of the view: values beyond are clipped, to stay readable for SVG

class Curves {
  /** `root` contains the controls by name and an svg; `data` is packed by Python. */
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.svg = root.querySelector("svg");
    this.at = null; // index of the epoch whose values are shown
    for (const name of ["metric", "log", "each"]) {
      root.querySelector(`[name=${name}]`).addEventListener("change", () => this.draw());
    }
    this.svg.addEventListener("pointermove", (event) => this.readAt(event));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.read((this.at ?? (step > 0 ? -1 : this.data.epochs.length)) + step);
    });
    this.isDark = isDark();
    window.addEventListener("themechange", () => {
      this.isDark = isDark();
      this.draw();
    });
    for (const button of root.querySelectorAll("button[data-curves]")) {
      const { curves: kind } = button.dataset, name = () => `${this.setting("metric")}.${kind}`;
      button.addEventListener("click", () => saveFile(kind === "svg" ? this.picture() : this.table(), name(), FILE_TYPES[kind]));
    }
    this.draw();
  }

  /** The chart as a standalone file, on white. */
  picture() {
    this.isDark = false;
    this.draw();
    const copy = this.svg.cloneNode(true);
    this.isDark = isDark();
    this.draw();
    copy.querySelector(".cursor").remove();
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("font-family", "sans-serif");
    copy.setAttribute("font-size", "14");
    const text = copy.outerHTML.replaceAll("var(--line)", "#e4e4ea").replaceAll("var(--soft)", "#55555f");
    return `<?xml version="1.0" encoding="UTF-8"?>\n${text}\n`;
  }

  /** The values of the metric: a row per epoch, a column per run and per dashed line. */
  table() {
    const { epochs, trials } = this.data, metric = this.setting("metric");
    const runs = trials.flatMap(({ label, runs }) => runs[metric].map((row, k) => ({ row, head: `${label}, execution ${k}` })));
    const cell = (v) => `"${v.replaceAll('"', '""')}"`;
    const levels = this.data.levels[metric] ?? [], values = levels.map(({ value }) => value);
    const lines = epochs.map((epoch, k) => [epoch, ...runs.map(({ row }) => row[k] ?? ""), ...values].join(","));
    const heads = [...runs.map(({ head }) => head), ...levels.map(({ label }) => label)];
    return [["epoch", ...heads.map(cell)].join(","), ...lines].join("\n") + "\n";
  }

  setting(name) {
    const box = this.root.querySelector(`[name=${name}]`);
    return box.type === "checkbox" ? box.checked : box.value;
  }

  /** Mean and standard deviation of each trial over the runs that have a value. */
  summary() {
    return this.data.trials.map(({ runs }) => {
      const rows = runs[this.setting("metric")];
      return this.data.epochs.map((_, k) => {
        const values = rows.map((row) => row[k]).filter((v) => v !== null);
        if (!values.length) return null;
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
        return { mean, std: Math.sqrt(variance) };
      });
    });
  }

  draw() {
    const { epochs, trials } = this.data, metric = this.setting("metric");
    this.levels = this.data.levels[metric] ?? [];
    let all = trials.flatMap(({ runs }) => runs[metric].flat()).filter((v) => v !== null);
    all.push(...this.levels.map(({ value }) => value));
    // A logarithmic scale has no place for values that are not positive.
    const log = this.setting("log") && all.some((v) => v > 0);
    if (log) all = all.filter((v) => v > 0);
    this.log = log;
    this.lines = this.summary();
    const longest = Math.max(0, ...this.levels.map(({ label, value }) => `${label} ${brief(value)}`.length));
    this.box = { left: 70, right: longest ? 812 - LETTER * longest : 790, top: 12, bottom: 330 };
    // On a linear scale, a trial far off must not flatten the others.
    const lasts = this.lines.map((line) => line.findLast((v) => v !== null)?.mean).filter((v) => v !== undefined);
    let [low, high] = all.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    if (!log && low >= 0) {
      const near = Math.min(...lasts), others = lasts.filter((v) => v <= APART * near);
      if (near > 0) high = Math.min(high, Math.max(TALL * near, 1.1 * Math.max(...others), 1e-12));
      low = Math.min(low, 0);
    }
    if (!(high > low)) {
      const pad = Math.max(Math.abs(low) / 10, 1e-9);
      [low, high] = log ? [low / 2, high * 2] : [low - pad, high + pad];
    }
    const to = log ? (v) => (v > 0 ? Math.log10(v) : -Infinity) : (v) => v, [a, b] = [to(low), to(high)];
    const [first, last] = [epochs[0], epochs.at(-1)];
    this.x = (k) => this.box.left + (last > first ? (epochs[k] - first) / (last - first) : 0.5) * (this.box.right - this.box.left);
    // Values above the view are clipped by its edge; their lines still lead in the right direction.
    this.y = (v) => {
      const share = Math.min(FAR, Math.max(-FAR, (to(v) - a) / (b - a)));
      return this.box.bottom - share * (this.box.bottom - this.box.top);
    };
    const parts = this.axes(low, high, log), { left, right, top, bottom } = this.box, edge = 6;
    parts.push(`<clipPath id="in-view"><rect x="${left - edge}" y="${top - edge}" width="${right - left + 2 * edge}" height="${bottom - top + 2 * edge}"/></clipPath>`);
    parts.push('<g clip-path="url(#in-view)">');
    trials.forEach(({ colour: light, dark_colour: dark, runs }, t) => {
      const colour = this.isDark ? dark : light;
      if (this.setting("each")) {
        for (const row of runs[metric]) parts.push(this.path(row, colour, 1.2));
      } else {
        if (runs[metric].length > 1) parts.push(this.band(this.lines[t], colour));
        parts.push(this.path(this.lines[t].map((v) => v && v.mean), colour, 2));
      }
    });
    parts.push("</g>");
    const hidden = this.levels.filter(({ value }) => !log && value > high);
    parts.push(...this.drawLevels(this.levels.filter((level) => !hidden.includes(level) && !(log && level.value <= 0))));
    this.tellAbove(log ? Infinity : high, hidden);
    parts.push('<line class="cursor" y1="12" y2="330" stroke="var(--soft)" stroke-dasharray="3 3" visibility="hidden"/>');
    this.svg.innerHTML = parts.join("");
    this.read(this.at);
  }

  /** Dashed lines, with labels beside the chart that are moved apart where they are too close. */
  drawLevels(levels) {
    const { left, right } = this.box, lines = levels.map((level) => ({ ...level, y: this.y(level.value) })).sort((a, b) => a.y - b.y);
    lines.forEach((line, k) => (line.at = k ? Math.max(line.y, lines[k - 1].at + LABEL) : line.y));
    const shift = lines.reduce((sum, { y, at }) => sum + at - y, 0) / lines.length;
    return lines.map(({ label, value, y, at }) => `<line class="level" x1="${left}" x2="${right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="var(--soft)" stroke-dasharray="7 4"/>` +
      `<text class="level" x="${right + 8}" y="${(at - shift).toFixed(1)}" dominant-baseline="middle">${label} ${brief(value)}</text>`);
  }

  /** A line through the known values, with dots if they are few. */
  path(values, colour, width) {
    const places = values.map((v, k) => [k, v]).filter(([, v]) => v !== null && !(this.log && v <= 0))
      .map(([k, v]) => `${this.x(k).toFixed(1)} ${this.y(v).toFixed(1)}`);
    const dots = places.length <= 20 ? places.map((at) => `M${at}h0.1`).join("") : "";
    const dotted = dots && `<path d="${dots}" fill="none" stroke="${colour}" stroke-width="${3 * width}" stroke-linecap="round"/>`;
    return `<path class="curve" d="M${places.join("L")}" fill="none" stroke="${colour}" stroke-width="${width}"/>${dotted}`;
  }

  band(line, colour) {
    const some = line.map((v, k) => [v, k]).filter(([v]) => v && !(this.log && v.mean <= 0));
    if (!some.length) return "";
    const edge = (sign) => some.map(([v, k]) => `${this.x(k).toFixed(1)} ${this.y(v.mean + sign * v.std).toFixed(1)}`);
    return `<path d="M${[...edge(1), ...edge(-1).reverse()].join("L")}Z" fill="${colour}" opacity="0.18"/>`;
  }

  /** Shows which trials lie above the view, and until which epoch; and the dashed lines above it. */
  tellAbove(high, hidden) {
    const { epochs, trials } = this.data, whole = [], begun = [];
    trials.forEach(({ label }, t) => {
      const line = this.lines[t], first = line.findIndex((v) => v !== null && v.mean <= high);
      if (first < 0 && line.some((v) => v !== null)) whole.push(label);
      if (line.slice(0, Math.max(0, first)).some((v) => v !== null)) begun.push(`${label} until epoch ${epochs[first]}`);
    });
    const box = this.root.querySelector("[data-above]");
    const told = trials.length === 1 ? begun.map((text) => text.slice(trials[0].label.length)) : [`: ${[...whole, ...begun].join("; ")}`];
    const sentences = whole.length || begun.length ? [`Above this scale${told}.`] : [];
    if (hidden.length) sentences.push(`Lines above this scale: ${hidden.map(({ label, value }) => `${label} ${brief(value)}`).join(", ")}.`);
    box.hidden = !sentences.length;
    box.textContent = [...sentences, "A logarithmic scale shows all."].join(" ");
  }

  axes(low, high, log) {
    const { left, right, top, bottom } = this.box, { epochs } = this.data, parts = [];
    for (const v of log ? logTicks(low, high) : ticks(low, high, 6)) {
      const y = this.y(v).toFixed(1);
      parts.push(`<line x1="${left}" x2="${right}" y1="${y}" y2="${y}" stroke="var(--line)"/>`);
      parts.push(`<text x="${left - 8}" y="${y}" text-anchor="end" dominant-baseline="middle">${brief(v)}</text>`);
    }
    const [first, last] = [epochs[0], epochs.at(-1)];
    for (const v of ticks(first, last, 8).filter((v) => Number.isInteger(v) && v >= first && v <= last)) {
      const x = left + (last > first ? (v - first) / (last - first) : 0.5) * (right - left);
      parts.push(`<text x="${x.toFixed(1)}" y="${bottom + 20}" text-anchor="middle">${v}</text>`);
    }
    parts.push(`<text x="${(left + right) / 2}" y="${bottom + 42}" text-anchor="middle">epoch</text>`);
    parts.push(`<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="var(--soft)"/>`);
    return parts;
  }

  readAt(event) {
    const box = this.svg.getBoundingClientRect(), { left, right } = this.box;
    const { epochs } = this.data, x = ((event.clientX - box.left) / box.width) * 820;
    const epoch = epochs[0] + ((x - left) / (right - left)) * (epochs.at(-1) - epochs[0]);
    const far = epochs.map((e) => Math.abs(e - epoch));
    this.read(far.indexOf(Math.min(...far)));
  }

  /** Shows the values at an epoch beside the legend; without an epoch, the last values. */
  read(k) {
    const n = this.data.epochs.length;
    this.at = k === null || n === 0 ? null : Math.min(n - 1, Math.max(0, k));
    const cursor = this.svg.querySelector(".cursor");
    cursor.setAttribute("visibility", this.at === null ? "hidden" : "visible");
    if (this.at !== null) {
      cursor.setAttribute("x1", this.x(this.at));
      cursor.setAttribute("x2", this.x(this.at));
    }
    const when = this.at === null ? "after the last epoch" : `epoch ${this.data.epochs[this.at]}`;
    this.root.querySelector("[data-when]").textContent = when;
    this.root.querySelectorAll("[data-value]").forEach((cell, t) => {
      const found = this.at === null ? this.lines[t].findLast((v) => v !== null) : this.lines[t][this.at];
      const several = this.data.trials[t].runs[this.setting("metric")].length > 1;
      const shown = found && brief(found.mean) + (several ? ` ± ${brief(found.std, 2)}` : "");
      cell.textContent = shown || "–";
    });
  }
}

/** Round numbers from `low` to `high`, about `n` of them. */
function ticks(low, high, n) {
  const raw = (high - low) / n || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power, found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step && found.length < 50; v += step) {
    found.push(Number(v.toPrecision(12)));
  }
  return found;
}

function logTicks(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.log10(high)], step = Math.ceil((last - first) / 10), found = [];
  for (let e = first; e <= last; e += step) {
    for (const m of step > 1 ? [1] : high / low < 30 ? [1, 1.5, 2, 3, 5, 7] : [1, 3]) {
      if (m * 10 ** e >= low && m * 10 ** e <= high) found.push(m * 10 ** e);
    }
  }
  return found.length > 1 ? found : ticks(low, high, 6);
}

/** A number with its first digits; with a power of ten if it is very large or small. */
function brief(v, digits = 4) {
  const rounded = Number(v.toPrecision(digits)), size = Math.abs(rounded);
  return size >= 1e6 || (size > 0 && size < 1e-4) ? rounded.toExponential() : `${rounded}`;
}

{
  const root = document.getElementById("curves");
  if (root) new Curves(root, JSON.parse(document.getElementById("histories").textContent));
}
