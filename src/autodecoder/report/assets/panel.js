// The panel of a map: tools, the nearest image, search, selection, classes and layers.
"use strict";

const MOST_RESULTS = 12;
const MORE_RESULTS = 100; // further results at a time
const MOST_SELECTED = 400; // most images of a selection that are drawn

class Panel {
  /** `decode(latents)` returns images or a promise of them; null if nothing can decode. If there are
   * several maps, the tools act on all `maps`, and the search finds images in `sources`. */
  constructor(map, points, { shape, decode, fileName, maps = [map], sources = [{ map, points }] }) {
    this.use({ map, points, shape, decode });
    this.fileName = fileName;
    this.bindTools(maps);
    this.bindLayers(maps);
    this.bindSearch(sources);
    this.bindSelection(maps);
    window.addEventListener("themechange", () => maps.forEach((each) => each.redraw()));
    const list = document.getElementById("point");
    if (!list) return; // several maps, each with its own text
    this.bindPoint();
    this.bindSaving();
    list.style.setProperty("--columns", points.columns.length);
    if (points.columns.length) list.tabIndex = 0; // so that the keyboard can scroll it
    const hint = document.getElementById("hint");
    for (const event of ["pointerdown", "wheel", "keydown"]) {
      map.root.addEventListener(event, () => hint.classList.add("gone"), { once: true, passive: true });
    }
    this.tellMissing();
  }

  /** Show points of this map; `shape` is that of its images. */
  use({ map, points, shape, decode }) {
    Object.assign(this, { map, points, shape, decode });
  }

  /** The buttons act on all maps. */
  bindTools(maps) {
    const modes = document.querySelectorAll("button[data-mode]");
    for (const button of modes) {
      button.addEventListener("click", () => {
        for (const map of maps) map.setMode(button.dataset.mode);
        for (const other of modes) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    for (const button of document.querySelectorAll("button[data-zoom]")) {
      button.addEventListener("click", () => maps.forEach((map) => map.zoomBy(Number(button.dataset.zoom))));
    }
  }

  bindSaving() {
    const { map } = this, saves = {
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

  bindLayers(maps) {
    const boxes = [...document.querySelectorAll("input[data-class]")];
    for (const box of boxes) {
      box.addEventListener("change", () => {
        const of = Number(box.dataset.class), { map: own } = box.dataset;
        for (const map of own === undefined ? maps : [maps[own]]) {
          if (box.checked) map.hidden.delete(of);
          else map.hidden.add(of);
          map.redraw();
        }
      });
    }
    for (const box of document.querySelectorAll("input[data-layer]")) {
      box.addEventListener("change", () => {
        for (const map of maps) {
          map.layers[box.dataset.layer] = box.checked;
          map.redraw();
        }
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

  /** The point that a click chooses stays in the panel until the next click, so that its name can
   * be copied. */
  bindPoint() {
    const copy = document.getElementById("copy-name");
    document.getElementById("release").addEventListener("click", () => this.release());
    this.map.onRelease = () => this.release();
    copy.addEventListener("click", () => {
      const chosen = this.map.held ? this.map.together(this.map.held) : [];
      return this.copyNames(copy, chosen);
    });
  }

  /** Hold a point; without one, follow the pointer again. */
  hold(near) {
    const before = this.map.held;
    this.map.held = near;
    document.getElementById("held").toggleAttribute("data-held", near !== null);
    if (near) {
      const n = this.map.together(near).length, copy = document.getElementById("copy-name");
      copy.textContent = copy.dataset.text = n > 1 ? `Copy ${n.toLocaleString("en")} names` : "Copy name";
      this.showPoint(near);
    } else if (before) {
      this.showPoint(this.map.near);
    }
    this.map.soon();
  }

  release() {
    this.hold(null);
  }

  /** Show the nearest point, unless a click holds one. */
  showNearest(near) {
    if (!this.map.held) this.showPoint(near);
  }

  /** Show a point: its data, its original and its reconstruction. */
  showPoint(near) {
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

  /** Terms and values of a point, and whether a value needs its term on a narrow screen. */
  facts({ set, k, distance }) {
    const { points, map } = this, name = points.label(set, k), of = points.className(set, k), error = points.error(set, k);
    const rows = [["Image", `${points.id(set, k)}${name ? ` · ${name}` : ""}`]], { low, span } = points.packed;
    const n = map.together({ set, k }).length;
    if (n > 1) rows.push(["At this place", `${n.toLocaleString("en")} images here`]);
    if (of) rows.push(["Class", of]);
    if (error !== null) rows.push(["Mean squared error", `${error.toPrecision(3)} (pixels from ${axisText(low)} to ${axisText(low + span)})`, true]);
    if (distance !== undefined) rows.push(["Distance on the map", distance.toPrecision(2), true]);
    if (points.hasSprites && !points.hasOriginal(set, k)) rows.push(["Original", "not in this page"]);
    points.values(set, k).forEach((value, c) => value && rows.push([points.columns[c].name, value, true]));
    return rows;
  }

  /** `sources`: the maps whose images are found, each with its points and, if there are several, a
   * title. */
  bindSearch(sources) {
    const box = document.getElementById("search"), list = document.getElementById("results");
    const close = () => (list.hidden = true);
    if (sources.some(({ points }) => points.columns.length)) box.placeholder = "Find by name, number, class or value";
    let most = MOST_RESULTS;
    const find = () => {
      const found = sources.flatMap((source) => source.points.search(box.value).map((point) => ({ ...source, point })));
      list.hidden = !box.value.trim();
      list.replaceChildren(...found.slice(0, most).map(({ map, points, title, point }) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const { set, k } = point;
        button.type = "button";
        if (points.hasOriginal(set, k)) {
          const canvas = document.createElement("canvas");
          points.paintOriginal(canvas, set, k);
          button.append(canvas);
        }
        button.append([title, points.line(point)].filter(Boolean).join(": "));
        button.addEventListener("click", () => {
          close();
          map.goTo(point);
          map.root.focus({ preventScroll: true });
        });
        item.append(button);
        return item;
      }));
      if (!found.length) list.textContent = "Nothing found.";
      if (found.length > most) {
        const item = document.createElement("li"), more = document.createElement("button");
        more.type = "button";
        more.className = "more";
        more.textContent = `More (${most} of ${found.length.toLocaleString("en")} shown)`;
        more.addEventListener("click", () => {
          const shown = most;
          most += MORE_RESULTS;
          find();
          list.querySelectorAll("button")[shown].focus();
        });
        item.append(more);
        list.append(item);
      }
    };
    box.addEventListener("input", () => {
      most = MOST_RESULTS;
      find();
    });
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

  bindSelection(maps) {
    const $ = (id) => document.getElementById(id);
    if (maps.length === 1) this.map.onSelect = (chosen) => this.showSelection(chosen);
    $("selection-clear").addEventListener("click", () => {
      this.map.setSelected([]);
      this.map.root.focus({ preventScroll: true });
    });
    $("selection-csv").addEventListener("click", () => saveFile(pointsCsv(this.points, this.map.selected), "selection.csv", "text/csv"));
    $("selection-copy").addEventListener("click", () => this.copyNames($("selection-copy"), this.map.selected));
  }

  /** Copy the names of points; the button says whether that worked. */
  async copyNames(button, chosen) {
    const names = chosen.map(({ set, k }) => this.points.name(set, k) || this.points.id(set, k)).join("\n");
    button.dataset.text ??= button.textContent;
    button.textContent = (await copyText(names)) ? "Copied" : "Cannot copy";
    setTimeout(() => (button.textContent = button.dataset.text), 2000);
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
      const text = points.line(point);
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
