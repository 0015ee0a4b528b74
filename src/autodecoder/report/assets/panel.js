// The panel of a map: tools, the nearest image, search, selection, classes and layers.
"use strict";

const MOST_RESULTS = 12;
const MOST_SELECTED = 400; // most images of a selection that are drawn

class Panel {
  /** `decode(latents)` returns images or a promise of them; null if nothing can decode. */
  constructor(map, points, { shape, decode, fileName }) {
    this.map = map;
    this.points = points;
    this.shape = shape;
    this.decode = decode;
    this.fileName = fileName;
    this.bindTools();
    this.bindLayers();
    this.bindSearch();
    this.bindSelection();
    const list = document.getElementById("point");
    list.style.setProperty("--columns", points.columns.length);
    if (points.columns.length) list.tabIndex = 0; // so that the keyboard can scroll it
    const hint = document.getElementById("hint");
    for (const event of ["pointerdown", "wheel", "keydown"]) {
      map.root.addEventListener(event, () => hint.classList.add("gone"), { once: true, passive: true });
    }
    window.addEventListener("themechange", () => map.redraw());
    this.tellMissing();
  }

  bindTools() {
    const { map } = this, modes = document.querySelectorAll("button[data-mode]");
    for (const button of modes) {
      button.addEventListener("click", () => {
        map.setMode(button.dataset.mode);
        for (const other of modes) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    for (const button of document.querySelectorAll("button[data-zoom]")) {
      button.addEventListener("click", () => map.zoomBy(Number(button.dataset.zoom)));
    }
    const saves = {
      png: () => saveCanvas(map.still(), `${this.fileName}.png`),
      svg: () => saveFile(figureSvg(mapFigure(map, this.points)), `${this.fileName}.svg`, "image/svg+xml"),
      pdf: () => saveFile(figurePdf(mapFigure(map, this.points)), `${this.fileName}.pdf`, "application/pdf"),
      csv: () => saveFile(this.placesCsv(), `${this.fileName}.csv`, "text/csv"),
    };
    for (const button of document.querySelectorAll("button[data-still]")) {
      button.addEventListener("click", () => saves[button.dataset.still]());
    }
    const menu = document.getElementById("save-map");
    menu?.addEventListener("focusout", (event) => {
      if (!menu.contains(event.relatedTarget)) menu.open = false;
    });
  }

  /** A CSV table of all points of the map, with their places. */
  placesCsv() {
    const { map, points } = this;
    const all = points.sets.flatMap((set) => Array.from({ length: set.n }, (_, k) => ({ set, k })));
    return pointsCsv(points, all, ["x", "y"], (point) => map.placeOfPoint(point).map((v) => v.toPrecision(6)));
  }

  bindLayers() {
    const { map } = this, boxes = [...document.querySelectorAll("input[data-class]")];
    for (const box of boxes) {
      box.addEventListener("change", () => {
        const of = Number(box.dataset.class);
        if (box.checked) map.hidden.delete(of);
        else map.hidden.add(of);
        map.redraw();
      });
    }
    for (const box of document.querySelectorAll("input[data-layer]")) {
      box.addEventListener("change", () => {
        map.layers[box.dataset.layer] = box.checked;
        map.redraw();
      });
    }
    for (const [id, on] of [["all", true], ["none", false]]) {
      document.getElementById(id)?.addEventListener("click", () => {
        for (const box of boxes) if (box.checked !== on) box.click();
      });
    }
  }

  tellMissing(missing = this.points.missing) {
    const box = document.getElementById("missing");
    const told = Object.entries(missing).filter(([, n]) => n).map(([name, n]) => `${n.toLocaleString("en")} ${SET_NAMES[name]}`);
    box.hidden = !told.length;
    box.textContent = `Outside the map or not finite: ${told.join(", ")}.`;
  }

  /** Decode a latent and draw it, if it is still wanted by then. */
  async decodeInto(canvas, latent, isWanted) {
    try {
      const [values] = await this.decode([latent]);
      if (isWanted()) paint(canvas, this.shape, values);
    } catch {
      // the decoder reports its own errors
    }
  }

  /** Show the nearest point: its data, its original and its reconstruction. */
  showNearest(near) {
    const box = document.getElementById("nearest"), list = document.getElementById("point"), { points, map } = this;
    const key = near ? `${near.set.name}:${near.set.rows[near.k]}` : "";
    if (this.shown !== key) {
      this.shown = key;
      box.toggleAttribute("data-empty", near === null);
      if (near) {
        const original = document.getElementById("original");
        if (original) {
          if (points.hasOriginal(near.set, near.k)) points.paintOriginal(original, near.set, near.k);
          else original.width = original.height = 1;
        }
        const canvas = document.getElementById("reconstruction"), latent = points.latent(near.set, near.k, map);
        if (canvas && latent && this.decode) {
          this.decodeInto(canvas, latent, () => this.shown === key);
        } else if (canvas) {
          canvas.width = canvas.height = 1;
        }
      }
    }
    list.replaceChildren(...(near ? this.facts(near) : [["Nearest image", "none within reach"]]).flatMap(([term, value, column]) => {
      const [name, told] = ["dt", "dd"].map((tag) => document.createElement(tag));
      name.textContent = term;
      told.textContent = value;
      if (column) told.dataset.column = term;
      return [name, told];
    }));
  }

  /** Terms and values of the nearest point, and whether each is of a further column. */
  facts({ set, k, distance }) {
    const { points } = this, name = points.name(set, k), of = points.className(set, k), error = points.error(set, k);
    const rows = [["Image", `${points.id(set, k)}${name ? ` · ${name}` : ""}`]];
    if (of) rows.push(["Class", of]);
    if (error !== null) rows.push(["Error", `${error.toPrecision(3)} (mean squared)`]);
    rows.push(["Distance", distance === undefined ? "" : distance.toPrecision(2)]);
    if (points.hasSprites && !points.hasOriginal(set, k)) rows.push(["Original", "not in this page"]);
    points.values(set, k).forEach((value, c) => value && rows.push([points.columns[c].name, value, true]));
    return rows;
  }

  bindSearch() {
    const box = document.getElementById("search"), list = document.getElementById("results"), { points, map } = this;
    const close = () => (list.hidden = true);
    if (points.columns.length) box.placeholder = "Find by name, number or value";
    const find = () => {
      const found = points.search(box.value, MOST_RESULTS);
      list.hidden = !box.value.trim();
      list.replaceChildren(...found.map((point) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const { set, k } = point, words = [points.id(set, k), points.name(set, k), points.className(set, k)];
        button.type = "button";
        if (points.hasOriginal(set, k)) {
          const canvas = document.createElement("canvas");
          points.paintOriginal(canvas, set, k);
          button.append(canvas);
        }
        button.append(words.filter(Boolean).join(" · "));
        button.addEventListener("click", () => {
          close();
          map.goTo(point);
          map.root.focus({ preventScroll: true });
        });
        item.append(button);
        return item;
      }));
      if (!found.length) list.textContent = "Nothing found.";
    };
    box.addEventListener("input", find);
    box.addEventListener("focus", () => box.value && find());
    for (const part of [box, list]) {
      part.addEventListener("keydown", (event) => {
        if (event.key === "Escape") close();
        if (event.key === "Enter" && part === box) list.querySelector("button")?.click();
      });
    }
    document.addEventListener("pointerdown", (event) => {
      if (!list.contains(event.target) && event.target !== box) close();
    });
  }

  bindSelection() {
    const $ = (id) => document.getElementById(id), { map, points } = this;
    map.onSelect = (chosen) => this.showSelection(chosen);
    $("selection-clear").addEventListener("click", () => {
      map.setSelected([]);
      map.root.focus({ preventScroll: true });
    });
    $("selection-csv").addEventListener("click", () => saveFile(pointsCsv(points, map.selected), "selection.csv", "text/csv"));
    $("selection-copy").addEventListener("click", async () => {
      const names = map.selected.map(({ set, k }) => points.name(set, k) || points.id(set, k)).join("\n");
      $("selection-copy").textContent = (await copyText(names)) ? "Copied" : "Cannot copy";
      setTimeout(() => ($("selection-copy").textContent = "Copy names"), 2000);
    });
  }

  async showSelection(chosen) {
    const $ = (id) => document.getElementById(id), { map, points } = this, counts = new Map();
    $("selection").hidden = !chosen.length;
    $("selection-count").textContent = `Selected: ${chosen.length.toLocaleString("en")} ${chosen.length === 1 ? "image" : "images"}`;
    for (const { set, k } of chosen) counts.set(points.className(set, k), (counts.get(points.className(set, k)) ?? 0) + 1);
    $("selection-classes").textContent = [...counts].filter(([name]) => name).sort((a, b) => b[1] - a[1]).slice(0, 12)
      .map(([name, n]) => `${name} ${n.toLocaleString("en")}`).join(", ");
    $("selection-more").hidden = chosen.length <= MOST_SELECTED;
    $("selection-more").textContent = `Drawn are the first ${MOST_SELECTED}. The CSV file has all.`;
    const mine = (this.selection = {});
    const drawn = chosen.slice(0, MOST_SELECTED).map((point) => {
      const { set, k } = point, button = document.createElement("button"), canvas = document.createElement("canvas");
      const text = [points.id(set, k), points.name(set, k), points.className(set, k)].filter(Boolean).join(" · ");
      button.type = "button";
      button.title = text;
      button.setAttribute("aria-label", text);
      button.append(canvas);
      button.addEventListener("click", () => map.goTo(point));
      return { button, canvas, point };
    });
    $("selection-images").replaceChildren(...drawn.map(({ button }) => button));
    for (const { canvas, button, point: { set, k } } of drawn) {
      if (points.hasOriginal(set, k)) {
        points.paintOriginal(canvas, set, k);
        continue;
      }
      const latent = points.latent(set, k, map);
      if (latent && this.decode && this.shape) {
        await this.decodeInto(canvas, latent, () => this.selection === mine);
        if (this.selection !== mine) return;
      } else {
        canvas.remove();
        button.textContent = points.name(set, k) || points.id(set, k);
      }
    }
  }
}

/** Copy a text; returns whether that worked. Pages without clipboard access use `execCommand`. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}
