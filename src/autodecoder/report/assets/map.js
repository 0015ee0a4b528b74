// The latent plane: points by class, crosses and ways on it, and a pointer or arrow keys that move.
"use strict";

const MOST_ZOOM = 64;
const MOST_SLIP = 5; // pixels that a pointer moves in a click
const NEAR = 6; // pixels from a point at which it is told
const REST = 150; // milliseconds without zoom, after which images below the points are drawn anew
const SIDE = 65534; // places of points are shares of the view by this many; one more: outside
const SET_NAMES = { train: "training", val: "validation" };
const ZOOM_KEYS = { "+": 2, "=": 2, "-": 0.5, "0": 0 };

class LatentMap {
  /**
   * `plane`: centre, axes, view, points and names as packed by Python; `colours`: of the classes.
   * `onMove(place)` is told where the pointer or the keys go, `onPick(place)` where they choose,
   * `onView()` that another part of the plane is seen.
   */
  constructor(canvas, plane, colours, { onMove, onPick, onView = () => {} }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.colours = colours.map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
    this.hidden = new Set(); // classes
    this.shown = { train: true, val: true };
    this.below = null; // draws what lies below the points
    this.crosses = []; // { place, colour, size }
    this.way = []; // places joined by a line, and whether each is marked
    this.wayPoints = true;
    this.onMove = onMove;
    this.onPick = onPick;
    this.onView = onView;
    this.fingers = new Map(); // on the plane: where each is
    this.waiting = false;
    this.names = plane.names; // of the images of each set, by row, where they are known
    this.setPlane(plane);
    this.place = [(this.view[0] + this.view[1]) / 2, (this.view[2] + this.view[3]) / 2];
    this.listen();
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.watchRatio();
    this.fit();
    this.draw();
  }

  setPlane(plane) {
    this.plane = plane;
    this.view = plane.view; // the part that is seen: left, right, bottom, top
    this.setPoints(plane.points);
  }

  /** Points of each set: how many, their places in shares of the view, their classes, and the rows
   * of their latents; and how many more there are that the view does not hold. */
  setPoints(points) {
    this.sets = Object.entries(points).map(([name, { n, places, classes, rows }]) => ({
      name,
      n,
      rows: longs(rows),
      places: shorts(places),
      classes: classes === null ? null : shorts(classes),
    }));
    const missing = Object.entries(points).filter(([, set]) => set.missing);
    const told = missing.map(([name, set]) => `${set.missing.toLocaleString("en")} ${SET_NAMES[name]}`).join(", ");
    const box = document.getElementById("missing");
    box.hidden = !told;
    box.textContent = `Latents that are not on the map, which lie outside of it or are not finite: ${told}.`;
    this.redraw();
  }

  /** The latent at a place of the plane. */
  latentAt([a, b]) {
    const { centre, axes } = this.plane;
    return centre.map((c, k) => c + a * axes[0][k] + b * axes[1][k]);
  }

  /** Where a latent lies on the plane: its projection. */
  placeOf(latent) {
    const { centre, axes } = this.plane;
    return axes.map((axis) => axis.reduce((sum, v, k) => sum + v * (latent[k] - centre[k]), 0));
  }

  /** The point next to a place, if one is near, in words: its set, its row and its name. */
  pointAt([a, b]) {
    const [left, right, bottom, top] = this.plane.view, width = this.canvas.clientWidth || 1;
    const x = (SIDE * (a - left)) / (right - left), y = (SIDE * (b - bottom)) / (top - bottom);
    let least = ((SIDE * NEAR) / (width * this.zoom)) ** 2, text = "";
    for (const { name, n, places, classes, rows } of this.sets) {
      if (!this.shown[name]) continue;
      for (let k = 0; k < n; k++) {
        if (places[2 * k] > SIDE) continue;
        const distance = (places[2 * k] - x) ** 2 + (places[2 * k + 1] - y) ** 2;
        if (distance >= least || (classes !== null && this.hidden.has(classes[k]))) continue;
        least = distance;
        text = `${name}:${rows[k]} ${this.names[name]?.[rows[k]] ?? ""}`;
      }
    }
    return text.trim();
  }

  clamp([a, b]) {
    const [left, right, bottom, top] = this.plane.view;
    return [Math.min(right, Math.max(left, a)), Math.min(top, Math.max(bottom, b))];
  }

  toScreen([a, b]) {
    const [left, right, bottom, top] = this.view, { width, height } = this.canvas;
    return [((a - left) / (right - left)) * width, ((top - b) / (top - bottom)) * height];
  }

  toPlane(event) {
    const [left, right, bottom, top] = this.view, box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    return [left + x * (right - left), top - y * (top - bottom)];
  }

  moveTo(place) {
    this.place = this.clamp(place);
    this.onMove(this.place);
    this.follow();
    this.soon();
  }

  get zoom() {
    return (this.plane.view[1] - this.plane.view[0]) / (this.view[1] - this.view[0]);
  }

  /** See `factor` times closer; the place `at` stays where it is on the screen. */
  zoomBy(factor, at = this.place) {
    const kept = this.zoom / Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.see(this.view.map((edge, k) => at[k >> 1] + (edge - at[k >> 1]) * kept));
  }

  /** Show a part of the plane, moved to within its ends. */
  see(view) {
    const whole = this.plane.view, next = [];
    for (const k of [0, 2]) {
      const size = Math.min(view[k + 1] - view[k], whole[k + 1] - whole[k]);
      const low = Math.min(Math.max(view[k], whole[k]), whole[k + 1] - size);
      next.push(low, low + size);
    }
    if (next.every((edge, k) => edge === this.view[k])) return;
    this.view = next;
    this.redraw();
    this.onView();
  }

  /** Move what is seen so far that the cross is in it. */
  follow() {
    const shift = [0, 1].map((k) => {
      const low = this.view[2 * k], high = this.view[2 * k + 1];
      return Math.min(0, this.place[k] - low) + Math.max(0, this.place[k] - high);
    });
    if (shift[0] || shift[1]) this.see(this.view.map((edge, k) => edge + shift[k >> 1]));
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => {
      if (this.fingers.size < 2) this.moveTo(this.toPlane(event));
      else this.pinch(event);
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") this.fingers.set(event.pointerId, event);
      this.pinched = this.fingers.size > 1;
      this.pressed = event;
      if (!this.pinched) this.moveTo(this.toPlane(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      window.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    }
    canvas.addEventListener("click", (event) => {
      if (this.pinched) return; // the last of two fingers has left
      const from = this.pressed ?? event; // else a drag has ended
      if (Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > MOST_SLIP) return;
      this.moveTo(this.toPlane(event));
      this.onPick(this.place);
    });
    // Without a key the wheel scrolls the page; two fingers on a touchpad count as Ctrl and wheel.
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / (event.deltaMode ? 10 : 200)), this.toPlane(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const [left, right, bottom, top] = this.view, share = event.shiftKey ? 0.05 : 0.01;
      const step = share * (right - left), rise = share * (top - bottom);
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, rise], ArrowDown: [0, -rise] };
      if (event.key in moves) {
        const [da, db] = moves[event.key];
        this.moveTo([this.place[0] + da, this.place[1] + db]);
      } else if (event.key === "Enter" || event.key === " ") {
        this.onPick(this.place);
      } else if (event.key in ZOOM_KEYS && !event.ctrlKey && !event.metaKey) {
        this.zoomBy(ZOOM_KEYS[event.key]);
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  /** Two fingers: what lies below them stays below them. */
  pinch(event) {
    const others = [...this.fingers.keys()].filter((id) => id !== event.pointerId);
    if (!this.fingers.has(event.pointerId)) return;
    const other = this.toPlane(this.fingers.get(others[0]));
    const before = this.toPlane(this.fingers.get(event.pointerId)), after = this.toPlane(event);
    this.fingers.set(event.pointerId, event);
    const [old, now] = [before, after].map((p) => Math.hypot(p[0] - other[0], p[1] - other[1]));
    if (old > 0) this.zoomBy(now / old, other);
  }

  drawPoints() {
    const { width, height } = this.canvas;
    const image = this.context.getImageData(0, 0, width, height), data = image.data;
    const total = this.sets.reduce((n, set) => n + (this.shown[set.name] ? set.n : 0), 0);
    // Points without a class are grey where others have one.
    const without = this.sets.some((set) => set.classes !== null) ? [160, 160, 160] : this.colours[0];
    const few = total / this.zoom ** 2; // about as many are seen
    const base = width > 900 ? 1 : 0, size = base + (few > 20000 ? 1 : few > 2000 ? 2 : 4);
    // From shares of the whole plane to pixels.
    const [left, right, bottom, top] = this.plane.view, [x0, y0] = this.toScreen([left, top]);
    const [x1, y1] = this.toScreen([right, bottom]);
    const across = (x1 - x0) / SIDE, down = (y1 - y0) / SIDE;
    for (const set of this.sets) {
      if (!this.shown[set.name]) continue;
      for (let k = 0; k < set.n; k++) {
        const of = set.classes === null ? -1 : set.classes[k];
        if (this.hidden.has(of) || set.places[2 * k] > SIDE) continue;
        const x = Math.round(x0 + set.places[2 * k] * across - size / 2);
        const y = Math.round(y0 + (SIDE - set.places[2 * k + 1]) * down - size / 2);
        const colour = of < 0 ? without : this.colours[of % this.colours.length];
        for (let dy = 0; dy < size; dy++) {
          for (let dx = 0; dx < size; dx++) {
            if (x + dx < 0 || y + dy < 0 || x + dx >= width || y + dy >= height) continue;
            const at = 4 * ((y + dy) * width + x + dx);
            data[at] = colour[0];
            data[at + 1] = colour[1];
            data[at + 2] = colour[2];
            data[at + 3] = 255;
          }
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  /** What lies below the crosses: drawn when it changes, not at every move. */
  drawScene() {
    const { context, canvas } = this;
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (this.below) this.drawBelow();
    this.drawPoints();
    this.scene = context.getImageData(0, 0, canvas.width, canvas.height);
  }

  /** The images below the points: kept while they stay the same, and scaled while one zooms or the
   * map changes its size. */
  drawBelow() {
    const { below, view, canvas } = this, side = canvas.width;
    let kept = this.kept;
    if (kept?.below !== below) {
      const picture = document.createElement("canvas");
      picture.width = picture.height = side;
      below(picture.getContext("2d"));
      kept = this.kept = { below, side, view, picture };
    }
    const [left, right, bottom, top] = kept.view;
    const [x, y] = this.toScreen([left, top]), [right_, bottom_] = this.toScreen([right, bottom]);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(kept.picture, x, y, right_ - x, bottom_ - y);
    clearTimeout(this.resting);
    if ((kept.view === view && kept.side === side) || below.fixed) return;
    this.resting = setTimeout(() => {
      this.kept = null;
      this.redraw();
    }, REST);
  }

  drawWay() {
    if (this.way.length < 2) return;
    const { context } = this, places = this.way.map((place) => this.toScreen(place));
    for (const [style, width] of [["#ffffff", 6], ["#D40078", 3]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.lineJoin = "round";
      context.beginPath();
      places.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    }
    for (const [k, [x, y]] of this.wayPoints ? places.entries() : []) {
      context.fillStyle = k === places.length - 1 ? "#D40078" : "#ffffff";
      context.strokeStyle = "#D40078";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, k === places.length - 1 ? 7 : 4, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }

  drawCross({ place, colour, size }) {
    const { context } = this, [x, y] = this.toScreen(place);
    for (const [style, width] of [["#ffffff", 5], [colour, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - size, y);
      context.lineTo(x + size, y);
      context.moveTo(x, y - size);
      context.lineTo(x, y + size);
      context.stroke();
    }
  }

  draw() {
    if (this.scene === null) this.drawScene();
    this.context.putImageData(this.scene, 0, 0);
    this.drawWay();
    for (const cross of this.crosses) this.drawCross(cross);
    this.drawCross({ place: this.place, colour: "#000000", size: 14 });
    document.getElementById("point").textContent = this.pointAt(this.place);
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  redraw() {
    this.scene = null;
    this.soon();
  }

  /** As many pixels as the map has on the screen. To set their number clears a canvas: it is drawn
   * anew at once, so that the browser never shows it blank. */
  fit() {
    const width = this.canvas.getBoundingClientRect().width;
    const side = Math.round(width * Math.min(2, window.devicePixelRatio || 1));
    if (!side || this.canvas.width === side) return;
    this.canvas.width = this.canvas.height = side;
    this.scene = null;
    this.draw();
  }

  /** The same size has other pixels on another screen. */
  watchRatio() {
    matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.fit();
      this.watchRatio();
    }, { once: true });
  }

  /** Boxes with `data-class` and `data-layer`, and the buttons: `all`, `none`, `data-zoom`. */
  bindBoxes() {
    for (const button of document.querySelectorAll("button[data-zoom]")) {
      button.addEventListener("click", () => this.zoomBy(Number(button.dataset.zoom)));
    }
    for (const box of document.querySelectorAll("input[data-class]")) {
      box.addEventListener("change", () => {
        const of = Number(box.dataset.class);
        if (box.checked) this.hidden.delete(of);
        else this.hidden.add(of);
        this.redraw();
      });
    }
    for (const box of document.querySelectorAll("input[data-layer]")) {
      box.addEventListener("change", () => {
        this.shown[box.dataset.layer] = box.checked;
        this.redraw();
      });
    }
    for (const [id, on] of [["all", true], ["none", false]]) {
      document.getElementById(id)?.addEventListener("click", () => {
        for (const box of document.querySelectorAll("input[data-class]")) {
          if (box.checked !== on) box.click();
        }
      });
    }
  }
}

/** Draws what `decodeAt(place)` gives on a grid of `n` by `n` over the plane. */
function drawImages(map, context, shape, decodeAt, n = Math.max(6, Math.round(map.canvas.clientWidth / 55))) {
  const [left, right, bottom, top] = map.view, [height, width] = shape;
  const small = document.createElement("canvas");
  const side = map.canvas.width / n, scale = side / Math.max(height, width);
  context.imageSmoothingEnabled = false;
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      const a = left + ((column + 0.5) / n) * (right - left), b = top - ((row + 0.5) / n) * (top - bottom);
      paint(small, shape, decodeAt([a, b]));
      context.drawImage(small, column * side, row * side, Math.max(2, width * scale), Math.max(2, height * scale));
    }
  }
}
