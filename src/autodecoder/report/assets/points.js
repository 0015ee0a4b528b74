// The points of a map: images with a name, a class, an error and a small original.
"use strict";

class Points {
  /** `packed` is packed by Python; `originals` are sheets of small images, or null. */
  constructor(packed, originals) {
    this.packed = packed;
    this.originals = originals;
    this.shades = [packed.colours, packed.dark_colours].map((shades) => shades.map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16))));
    this.sheets = new Map();
    this.columns = (packed.columns?.columns ?? []).map(({ name, sets }) => ({ name, sets: unpackColumn(sets) }));
    this.copies = Object.fromEntries(Object.entries(originals?.sets ?? {}).map(([name, { rows }]) => [name, rowIndex(longs(rows))]));
    this.setPoints(packed.points);
  }

  setPoints(points) {
    this.sets = Object.entries(points).map(([name, set]) => unpackSet(name, set));
    this.missing = Object.fromEntries(Object.entries(points).map(([name, set]) => [name, set.missing]));
    this.byRow = Object.fromEntries(this.sets.map(({ name, rows }) => [name, rowIndex(rows)]));
  }

  /** Red, green and blue of the classes, for the theme of the page. */
  get colours() {
    return this.shades[isDark() ? 1 : 0];
  }

  get hasSprites() {
    return this.originals !== null;
  }

  set(name) {
    return this.sets.find((set) => set.name === name);
  }

  /** The point's number in the set, even if the page has only some of its images. */
  number(set, k) {
    const { shown, total } = this.packed.counts[set.name];
    return total > shown ? Math.floor((set.rows[k] * total) / shown) : set.rows[k];
  }

  /** The point's set and number, such as `train:17`. */
  id(set, k) {
    return `${set.name}:${this.number(set, k)}`;
  }

  name(set, k) {
    const name = this.packed.names[set.name]?.[set.rows[k]];
    return name === undefined || name === null ? "" : String(name);
  }

  /** The name as it is shown: a number that is a row of a file is told as such. */
  label(set, k) {
    const name = this.packed.names[set.name]?.[set.rows[k]];
    return typeof name === "number" && this.packed.are_rows ? `row ${name} of the file` : this.name(set, k);
  }

  /** The number of the point in its set, its name and its class, as a line. */
  line({ set, k }) {
    return [this.id(set, k), this.label(set, k), this.className(set, k)].filter(Boolean).join(" · ");
  }

  /** The point's value in each further column, an empty text where it is missing. */
  values({ name, rows }, k) {
    return this.columns.map(({ sets }) => (name in sets ? sets[name].values[sets[name].codes[rows[k]]] : ""));
  }

  className(set, k) {
    return set.classes === null ? "" : this.packed.classes[set.classes[k]] ?? `class ${set.classes[k]}`;
  }

  hexOf(set, k) {
    const { colours, classes } = this.packed;
    return set.classes === null ? (classes.length ? "#8c8c8c" : colours[0]) : colours[set.classes[k] % colours.length];
  }

  colourOf(set, k) {
    const { colours } = this;
    return set.classes === null ? colours[0] : colours[set.classes[k] % colours.length];
  }

  /** The final point, also for a point of a frame of the film. */
  final(set, k) {
    const whole = this.set(set.name), at = whole === set ? k : this.byRow[set.name][set.rows[k]] ?? -1;
    return at < 0 ? null : { set: whole, k: at };
  }

  error(set, k) {
    const at = this.final(set, k), v = at?.set.errors?.[at.k];
    return v === undefined || v !== v ? null : v;
  }

  /** The point's latent, if the page has it; in two dimensions it follows from the place. */
  latent(set, k, map) {
    const dims = this.packed.centre.length, at = this.final(set, k);
    if (dims <= 2) return map.latentAt([set.x[k], set.y[k]]);
    if (!at || at.k >= at.set.nLatents) return null;
    return Float64Array.from(at.set.latents.subarray(at.k * dims, (at.k + 1) * dims));
  }

  hasOriginal(set, k) {
    return this.copyOf(set, k) >= 0;
  }

  /** Index of the point's small original; -1 if there is none. */
  copyOf(set, k) {
    return this.copies[set.name]?.[set.rows[k]] ?? -1;
  }

  /** Width and height of the largest image that fits into a square. */
  fitted(side) {
    const [height, width] = this.packed.shape, scale = side / Math.max(height, width);
    return [Math.max(2, width * scale), Math.max(2, height * scale)];
  }

  /** Draw the small original; if its sheet is not loaded yet, `later()` is called once it is. */
  drawOriginal(context, set, k, x, y, width, height, later) {
    const { originals } = this, at = this.copyOf(set, k);
    if (at < 0) return;
    const [tall, wide] = originals.size;
    const { per_sheet: each, columns } = originals, index = Math.floor(at / each), place = at % each;
    const key = `${set.name}:${index}`;
    let sheet = this.sheets.get(key);
    if (!sheet) {
      const image = new Image();
      image.src = `data:image/webp;base64,${originals.sets[set.name].sheets[index]}`;
      sheet = { image, ready: false, waiting: [] };
      this.sheets.set(key, sheet);
      image.decode().then(() => {
        sheet.ready = true;
        sheet.waiting.splice(0).forEach((act) => act());
      }, () => {});
    }
    if (!sheet.ready) {
      if (later) sheet.waiting.push(later);
      return;
    }
    context.imageSmoothingEnabled = width < wide;
    const [column, row] = [place % columns, Math.floor(place / columns)];
    context.drawImage(sheet.image, column * wide, row * tall, wide, tall, x, y, width, height);
  }

  /** A canvas with the small original at its own size. */
  paintOriginal(canvas, set, k) {
    const [tall, wide] = this.originals.size;
    canvas.width = wide;
    canvas.height = tall;
    const wanted = (canvas.wanted = {});
    const draw = () => {
      if (canvas.wanted === wanted) this.drawOriginal(canvas.getContext("2d"), set, k, 0, 0, wide, tall, draw);
    };
    draw();
  }

  /** The points whose name, number, class or value of a further column contains the text: first
   * those with exactly this name or number, last those of which only the class contains it. */
  search(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const hits = this.columns.map(({ sets }) => Object.fromEntries(Object.entries(sets).map(([name, { values }]) =>
      [name, values.map((value) => value.toLowerCase().includes(wanted))])));
    const classes = this.packed.classes.map((name) => name.toLowerCase().includes(wanted));
    const hasValue = (set, k) => this.columns.some(({ sets }, c) => hits[c][set.name]?.[sets[set.name].codes[set.rows[k]]]);
    const ranks = [[], [], []];
    for (const set of this.sets) {
      for (let k = 0; k < set.n; k++) {
        const id = this.id(set, k), name = this.name(set, k).toLowerCase();
        if (id === wanted || name === wanted || String(this.number(set, k)) === wanted) ranks[0].push({ set, k });
        else if (name.includes(wanted) || id.startsWith(wanted) || hasValue(set, k)) ranks[1].push({ set, k });
        else if (set.classes !== null && classes[set.classes[k]]) ranks[2].push({ set, k });
      }
    }
    return ranks.flat();
  }
}

function unpackSet(name, { n, rows, places, classes, errors, latents, n_latents: nLatents }) {
  return {
    name,
    n,
    nLatents: nLatents ?? 0,
    rows: longs(rows),
    places: shorts(places),
    classes: classes === null ? null : shorts(classes),
    errors: errors ? halves(errors) : null,
    latents: latents ? halves(latents) : null,
  };
}

/** The values of a further column by set, and the place of each image's value among them. */
function unpackColumn(sets) {
  return Object.fromEntries(Object.entries(sets).map(([name, { values, bits, codes }]) =>
    [name, { values, codes: bits === 16 ? shorts(codes) : longs(codes) }]));
}

/** The index of each row in a list of rows; -1 if it is not in the list. */
function rowIndex(rows) {
  const index = new Int32Array(rows.reduce((a, b) => Math.max(a, b), -1) + 1).fill(-1);
  rows.forEach((row, k) => (index[row] = k));
  return index;
}

const csvCell = (v) => (/[",\n\r]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v);

/** The data of a point as cells of a table. */
function pointCells(points, { set, k }) {
  const error = points.error(set, k);
  return [set.name, points.number(set, k), points.name(set, k), points.className(set, k), error === null ? "" : error.toPrecision(4)];
}

/** Names that differ from each other and from those that are taken: `x_2` beside `x`. */
function distinctNames(names, taken) {
  const used = new Set(taken);
  return names.map((name) => {
    let own = name;
    for (let k = 2; used.has(own); k++) own = `${name}_${k}`;
    used.add(own);
    return own;
  });
}

/** A table of points as CSV, further columns last; `more(point)` returns cells for the names in `columns`. */
function pointsCsv(points, chosen, columns = [], more = () => []) {
  const own = ["set", "index", "name", "class", "mse", ...columns];
  const lines = [[...own, ...distinctNames(points.columns.map(({ name }) => name), own)]];
  for (const point of chosen) lines.push([...pointCells(points, point), ...more(point), ...points.values(point.set, point.k)]);
  return lines.map((line) => line.map((v) => csvCell(String(v))).join(",")).join("\n") + "\n";
}
