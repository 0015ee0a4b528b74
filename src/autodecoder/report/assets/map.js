// The map of the latents: points by class over decoded images; with pan, zoom and selection.
"use strict";

const MOST_ZOOM = 200;
const MOST_SLIP = 5; // most pixels that a pointer moves during a click
const REACH = 14; // pixels from the pointer within which a point is found
const SIDE = 65534; // places of points count from 0 to this across the view; one more is outside
const MOST_THUMBNAILS = 300; // most points in view whose images replace the dots
const SCROLLING = 400; // milliseconds for which the wheel keeps scrolling a page that scrolls
const STRETCH = 3; // both axes have the same scale, unless one is longer by more than this factor
const GREY = [140, 140, 140];
const SET_NAMES = { train: "training", val: "validation" };
const ZOOM_KEYS = { "+": 2, "=": 2, "-": 0.5, "0": 0 };

class LatentMap {
  /**
   * `root` is an element of the page, `points` a `Points`; `plane` has centre, axes and view, as
   * packed by Python. Callbacks: `onMove(place, point)` when the pointer moves, `onPick(place,
   * point)` when it clicks, `onSelect(points)` when a lasso or a box is closed, `onView()` when
   * the view changes.
   */
  constructor(root, points, plane, { onMove, onPick, onSelect = () => {}, onView = () => {} }) {
    this.root = root;
    this.points = points;
    [this.belowCanvas, this.dotCanvas, this.overCanvas] = ["below", "dots", "over"].map((name) => {
      const canvas = document.createElement("canvas");
      canvas.className = name;
      root.append(canvas);
      return canvas;
    });
    this.dots = this.dotCanvas.getContext("2d", { willReadFrequently: true });
    this.hidden = new Set(); // classes
    this.layers = { train: true, val: true, points: true, density: false, thumbnails: true };
    this.backdrop = null; // decoded images behind the points
    this.crosses = []; // { place, colour, size }
    this.way = []; // places joined by a line
    this.wayPoints = true; // whether each of them is marked
    this.near = null; // the point under the pointer
    this.held = null; // the point that a click chose
    this.selected = []; // points
    this.outline = []; // corners of the lasso or box, in plane coordinates
    this.mode = "move"; // or "lasso", "box"
    this.fingers = new Map();
    this.onMove = onMove;
    this.onPick = onPick;
    this.onSelect = onSelect;
    this.onView = onView;
    this.onRelease = () => {}; // when the keys move the cross, or Escape is pressed
    this.dirty = { below: true, dots: true };
    this.setPlane(plane);
    this.listen();
    new ResizeObserver(() => this.fit()).observe(root);
    this.watchRatio();
    this.fit();
  }

  setPlane(plane) {
    this.plane = plane;
    this.place = [(plane.view[0] + plane.view[1]) / 2, (plane.view[2] + plane.view[3]) / 2];
    this.zoom = 1;
    this.middle = [...this.place];
    this.near = null;
    this.held = null;
    this.selected = [];
    this.setFrame(null);
  }

  /** Show the points of a frame of a film; `null` shows the final points. */
  setFrame(sets) {
    const [left, right, bottom, top] = this.plane.view;
    this.sets = sets ?? this.points.sets;
    for (const set of this.sets) {
      if (set.of === this.plane) continue; // their places are known for this plane
      set.of = this.plane;
      set.x = new Float32Array(set.n);
      set.y = new Float32Array(set.n);
      for (let k = 0; k < set.n; k++) {
        const out = set.places[2 * k] > SIDE;
        set.x[k] = out ? NaN : left + (set.places[2 * k] / SIDE) * (right - left);
        set.y[k] = out ? NaN : bottom + (set.places[2 * k + 1] / SIDE) * (top - bottom);
      }
    }
    this.redraw();
  }

  /** The latent at a place of the plane. */
  latentAt([a, b]) {
    const { centre, axes } = this.plane;
    return centre.map((c, k) => c + a * axes[0][k] + b * axes[1][k]);
  }

  /** The place of a latent on the plane: its projection. */
  placeOf(latent) {
    const { centre, axes } = this.plane;
    return axes.map((axis) => axis.reduce((sum, v, k) => sum + v * (latent[k] - centre[k]), 0));
  }

  placeOfPoint({ set, k }) {
    return [set.x[k], set.y[k]];
  }

  /** Pixels of the canvas within which a point is found; with thumbnails, half their side. */
  get reach() {
    return Math.max(REACH * this.ratio, this.thumbnails ? this.thumbnailSide / 2 : 0);
  }

  /** Pixels of the canvas per unit of each axis when the whole plane is visible. */
  get whole() {
    const { width, height } = this.overCanvas, [left, right, bottom, top] = this.plane.view;
    const [across, up] = [width / (right - left), height / (top - bottom)];
    if (Math.max(across, up) > STRETCH * Math.min(across, up)) return [across, up];
    return [Math.min(across, up), Math.min(across, up)];
  }

  get scale() {
    return this.whole.map((s) => s * this.zoom);
  }

  /** The visible part of the plane: left, right, bottom, top. */
  get view() {
    const { width, height } = this.overCanvas, [sx, sy] = this.scale, [x, y] = this.middle;
    return [x - width / 2 / sx, x + width / 2 / sx, y - height / 2 / sy, y + height / 2 / sy];
  }

  toScreen([a, b]) {
    const { width, height } = this.overCanvas, [sx, sy] = this.scale;
    return [width / 2 + (a - this.middle[0]) * sx, height / 2 - (b - this.middle[1]) * sy];
  }

  toPlane(event) {
    const box = this.root.getBoundingClientRect(), [left, right, bottom, top] = this.view;
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    return [left + x * (right - left), top - y * (top - bottom)];
  }

  /** Whether a point is drawn: its set and its class are shown, and it has a place. */
  isShown(set, k) {
    return this.layers[set.name] && !(set.classes && this.hidden.has(set.classes[k])) && set.x[k] === set.x[k];
  }

  /** The nearest shown point within reach: `{ set, k, distance }`, in units of the plane. */
  nearest([a, b], reach = this.reach) {
    const [sx, sy] = this.scale;
    let least = reach ** 2, found = null;
    for (const set of this.sets) {
      if (!this.layers[set.name]) continue;
      const { x, y, n } = set;
      for (let k = 0; k < n; k++) {
        const dx = (x[k] - a) * sx, dy = (y[k] - b) * sy, far = dx * dx + dy * dy;
        if (far < least && this.isShown(set, k)) {
          least = far;
          found = { set, k };
        }
      }
    }
    return found && { ...found, distance: Math.hypot(found.set.x[found.k] - a, found.set.y[found.k] - b) };
  }

  /** The shown points at the place of a point, this one first. */
  together({ set: own, k: at }) {
    const [x, y] = [own.x[at], own.y[at]], found = [{ set: own, k: at }];
    for (const set of this.sets) {
      for (let k = 0; k < set.n; k++) {
        if (set.x[k] === x && set.y[k] === y && (set !== own || k !== at) && this.isShown(set, k)) found.push({ set, k });
      }
    }
    return found;
  }

  /** Move the cross to a place of the plane. */
  moveTo(place, near = this.nearest(place)) {
    this.place = place;
    this.near = near;
    this.follow();
    this.soon();
    this.onMove(place, near);
  }

  /** Move to a point and select it. */
  goTo(point) {
    const place = this.placeOfPoint(point);
    if (place[0] !== place[0]) return; // outside the map
    const [left, right, bottom, top] = this.view;
    if (place[0] < left || place[0] > right || place[1] < bottom || place[1] > top) this.see(this.zoom, place);
    this.moveTo(place, { ...point, distance: 0 });
    this.onPick(place, this.near);
  }

  /** Zoom in by `factor`; the place `at` keeps its position on the screen. */
  zoomBy(factor, at = this.place) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor)), kept = this.zoom / zoom;
    if (factor === 0) return this.see(1);
    this.see(zoom, this.middle.map((m, i) => at[i] + (m - at[i]) * kept));
  }

  /** Show a part of the plane, moved to lie within its limits. */
  see(zoom, middle = this.middle) {
    const { width, height } = this.overCanvas, [left, right, bottom, top] = this.plane.view;
    const half = [width, height].map((size, i) => size / 2 / (this.whole[i] * zoom));
    const next = [[left, right], [bottom, top]].map(([low, high], i) => {
      if (high - low <= 2 * half[i]) return (low + high) / 2; // all of it is visible
      return Math.min(high - half[i], Math.max(low + half[i], middle[i]));
    });
    if (zoom === this.zoom && next.every((m, i) => m === this.middle[i])) return false;
    this.zoom = zoom;
    this.middle = next;
    this.redraw();
    this.onView();
    return true;
  }

  /** Move the visible part so that it contains the cross. */
  follow() {
    const [left, right, bottom, top] = this.view, [x, y] = this.place;
    const shift = [Math.min(0, x - left) + Math.max(0, x - right), Math.min(0, y - bottom) + Math.max(0, y - top)];
    if (shift[0] || shift[1]) this.see(this.zoom, this.middle.map((m, i) => m + shift[i]));
  }

  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
  }

  listen() {
    const { root } = this;
    let pressed = null, panned = false, scrolled = -Infinity, entered = -Infinity;
    window.addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });
    root.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      if (event.pointerType === "touch") this.fingers.set(event.pointerId, event);
      panned = this.fingers.size > 1;
      pressed = { event, middle: this.middle, selects: this.mode !== "move" || event.shiftKey };
      this.outline = [];
      if (pressed.selects) {
        this.outline = [this.toPlane(event)];
        this.boxed = this.mode === "box";
      }
      try {
        root.setPointerCapture(event.pointerId); // so that a drag can leave the map
      } catch {
        // the pointer is already gone
      }
    });
    root.addEventListener("pointermove", (event) => {
      entered = performance.now();
      if (this.fingers.size > 1) return this.pinch(event);
      if (!pressed) return event.pointerType === "touch" ? undefined : this.moveTo(this.toPlane(event));
      const [dx, dy] = [event.clientX - pressed.event.clientX, event.clientY - pressed.event.clientY];
      if (!panned && Math.hypot(dx, dy) <= MOST_SLIP) return;
      panned = true;
      if (pressed.selects) return this.draft(this.toPlane(event));
      const [sx, sy] = this.scale.map((s) => s / this.ratio), [x, y] = pressed.middle;
      root.classList.add("panning");
      this.see(this.zoom, [x - dx / sx, y + dy / sy]);
    });
    const end = (event) => {
      this.fingers.delete(event.pointerId);
      root.classList.remove("panning");
      if (!pressed) return;
      const { selects } = pressed, cancelled = event.type === "pointercancel";
      pressed = null;
      if (panned && selects && !cancelled) return this.select();
      this.outline = [];
      if (panned || cancelled) return this.soon();
      const place = this.toPlane(event);
      this.moveTo(place, this.nearest(place, (event.pointerType === "touch" ? 2 : 1) * this.reach));
      this.onPick(this.place, this.near);
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", end);
    // If the map comes below the pointer while the wheel scrolls the page, the wheel keeps
    // scrolling the page until the pointer moves.
    root.addEventListener("wheel", (event) => {
      const held = event.ctrlKey || event.metaKey;
      if (!held && performance.now() - scrolled < SCROLLING && entered < scrolled) return;
      const moved = this.zoomBy(Math.exp(-event.deltaY / (event.deltaMode ? 6 : 240)), this.toPlane(event));
      const ended = event.deltaY > 0 && this.zoom === 1 && moved === false;
      if (!ended || held) event.preventDefault();
    }, { passive: false });
    root.addEventListener("keydown", (event) => {
      const [left, right, bottom, top] = this.view, share = event.shiftKey ? 0.05 : 0.01;
      const step = share * (right - left), rise = share * (top - bottom);
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, rise], ArrowDown: [0, -rise] };
      if (event.key in moves) {
        this.onRelease();
        const [low, high] = [this.plane.view[0], this.plane.view[1]], [lower, upper] = this.plane.view.slice(2);
        const [x, y] = this.place.map((v, i) => v + moves[event.key][i]);
        this.moveTo([Math.min(high, Math.max(low, x)), Math.min(upper, Math.max(lower, y))]);
      } else if (event.key === "Enter" || event.key === " ") {
        this.onPick(this.place, this.near);
      } else if (event.key === "Escape") {
        this.onRelease();
        this.setSelected([]);
      } else if (event.key in ZOOM_KEYS && !event.ctrlKey && !event.metaKey) {
        this.zoomBy(ZOOM_KEYS[event.key]);
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  /** Two fingers pan and zoom: the places below them stay below them. */
  pinch(event) {
    const others = [...this.fingers.keys()].filter((id) => id !== event.pointerId);
    if (!this.fingers.has(event.pointerId)) return;
    const other = this.toPlane(this.fingers.get(others[0]));
    const before = this.toPlane(this.fingers.get(event.pointerId)), after = this.toPlane(event);
    this.fingers.set(event.pointerId, event);
    const [old, now] = [before, after].map((p) => Math.hypot(p[0] - other[0], p[1] - other[1]));
    if (old > 0) this.zoomBy(now / old, other);
  }

  /** Add a corner to the lasso, or move the far corner of the box. */
  draft(place) {
    const [from] = this.outline;
    if (this.boxed) this.outline = [from, [place[0], from[1]], place, [from[0], place[1]]];
    else this.outline.push(place);
    this.soon();
  }

  /** Select the shown points inside the outline. */
  select() {
    const inside = [], { outline } = this;
    const xs = outline.map((p) => p[0]), ys = outline.map((p) => p[1]);
    const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (const set of this.sets) {
      for (let k = 0; k < set.n; k++) {
        const x = set.x[k], y = set.y[k];
        if (!(x >= left && x <= right && y >= bottom && y <= top) || !this.isShown(set, k)) continue;
        let odd = false;
        for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
          const [xi, yi] = outline[i], [xj, yj] = outline[j];
          if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
        }
        if (odd) inside.push({ set, k });
      }
    }
    this.outline = [];
    this.setSelected(inside);
  }

  setSelected(points) {
    this.selected = points;
    this.soon();
    this.onSelect(points);
  }

  // --- drawing -----------------------------------------------------------------------------

  /** The number of shown points in view, and the first few of them. */
  inView(most) {
    const [left, right, bottom, top] = this.view, some = [];
    let n = 0;
    for (const set of this.sets) {
      if (!this.layers[set.name]) continue;
      for (let k = 0; k < set.n; k++) {
        const x = set.x[k], y = set.y[k];
        if (x < left || x > right || y < bottom || y > top || !this.isShown(set, k)) continue;
        if (n++ < most) some.push({ set, k });
      }
    }
    return { n, some };
  }

  drawDots() {
    const { width, height } = this.dotCanvas, context = this.dots;
    const { n, some } = this.inView(MOST_THUMBNAILS);
    this.count = n;
    context.clearRect(0, 0, width, height);
    if (this.layers.density) this.drawDensity();
    this.thumbnails = this.layers.points && this.layers.thumbnails && this.points.hasSprites && n > 0 && n <= MOST_THUMBNAILS;
    if (!this.layers.points) return;
    if (this.thumbnails) return this.drawThumbnails(some);
    const image = context.getImageData(0, 0, width, height), { data } = image;
    const area = width * height, size = this.ratio * Math.min(7, Math.max(1.6, Math.sqrt((0.12 * area) / (n + 1)) / this.ratio));
    const alpha = Math.min(0.9, Math.max(0.25, (0.3 * area) / (n * size * size + 1)));
    const stamp = disc(size / 2, alpha, width), { reach } = stamp, m = stamp.shift.length;
    const [sx, sy] = this.scale, [mx, my] = this.middle, { colours } = this.points;
    const classed = this.sets.some((set) => set.classes !== null);
    for (const set of this.sets) {
      if (!this.layers[set.name]) continue;
      const { x, y, classes } = set;
      for (let k = 0; k < set.n; k++) {
        const of = classes === null ? -1 : classes[k];
        if (this.hidden.has(of)) continue;
        const px = Math.round(width / 2 + (x[k] - mx) * sx), py = Math.round(height / 2 - (y[k] - my) * sy);
        // A point that the edge cuts is left out: its centre is nearly outside.
        if (!(px >= reach && px < width - reach && py >= reach && py < height - reach)) continue;
        // Points without a class are grey if others have one.
        const colour = of >= 0 ? colours[of % colours.length] : classed ? GREY : colours[0];
        const centre = 4 * (py * width + px), r = colour[0], g = colour[1], b = colour[2];
        for (let i = 0; i < m; i++) {
          const at = centre + stamp.shift[i], over = stamp.over[i], before = data[at + 3];
          if (before === 0) {
            data[at] = r;
            data[at + 1] = g;
            data[at + 2] = b;
            data[at + 3] = 255 * over;
            continue;
          }
          const under = (before / 255) * (1 - over), whole = over + under, share = over / whole;
          data[at] += (r - data[at]) * share;
          data[at + 1] += (g - data[at + 1]) * share;
          data[at + 2] += (b - data[at + 2]) * share;
          data[at + 3] = 255 * whole;
        }
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Images instead of dots, framed in the colours of their classes. */
  drawThumbnails(some) {
    const context = this.dots, { width, height } = this.dotCanvas, { points } = this;
    const side = this.thumbnailSide = Math.min(64 * this.ratio, Math.max(18 * this.ratio, 0.7 * Math.sqrt((width * height) / some.length)));
    for (const { set, k } of some) {
      const [x, y] = this.toScreen([set.x[k], set.y[k]]), [r, g, b] = points.colourOf(set, k);
      const [wide, tall] = points.hasOriginal(set, k) ? points.fitted(side) : [5 * this.ratio, 5 * this.ratio];
      context.fillStyle = `rgb(${r}, ${g}, ${b})`;
      context.fillRect(x - wide / 2 - 2, y - tall / 2 - 2, wide + 4, tall + 4);
      points.drawOriginal(context, set, k, x - wide / 2, y - tall / 2, wide, tall, () => this.redraw());
    }
  }

  /** The density of the points as steps of darkness, blurred by a few pixels. */
  drawDensity() {
    const { width, height } = this.dotCanvas, cell = 4 * Math.ceil(this.ratio);
    const [columns, rows] = [Math.ceil(width / cell), Math.ceil(height / cell)];
    let bins = new Float32Array(columns * rows);
    const [sx, sy] = this.scale, [mx, my] = this.middle;
    for (const set of this.sets) {
      for (let k = 0; k < set.n; k++) {
        if (!this.isShown(set, k)) continue;
        const column = Math.floor((width / 2 + (set.x[k] - mx) * sx) / cell);
        const row = Math.floor((height / 2 - (set.y[k] - my) * sy) / cell);
        if (column >= 0 && column < columns && row >= 0 && row < rows) bins[row * columns + column]++;
      }
    }
    for (let pass = 0; pass < 3; pass++) bins = blur(blur(bins, columns, rows, 1, columns), rows, columns, columns, 1);
    const most = bins.reduce((a, b) => Math.max(a, b), 0);
    if (!most) return;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    const context = small.getContext("2d"), image = context.createImageData(columns, rows);
    bins.forEach((v, i) => {
      const step = Math.ceil(8 * Math.sqrt(v / most)) / 8;
      image.data.set([70, 90, 170, v / most > 0.002 ? 190 * step : 0], 4 * i);
    });
    context.putImageData(image, 0, 0);
    this.dots.drawImage(small, 0, 0, columns * cell, rows * cell);
  }

  drawBelow() {
    const { belowCanvas: canvas } = this, context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.backdrop?.draw(context, this);
  }

  drawOver() {
    const { overCanvas: canvas, ratio } = this, context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.drawAxes(context);
    this.drawWay(context);
    for (const cross of this.crosses) this.drawCross(context, cross);
    this.drawSelection(context);
    if (this.held) this.ring(context, this.placeOfPoint(this.held));
    if (this.near) this.ring(context, this.placeOfPoint(this.near));
    this.drawCross(context, { place: this.place, colour: this.ink, size: 12 * ratio });
  }

  drawAxes(context) {
    const { width, height } = context.canvas, { ratio } = this, [left, right, bottom, top] = this.view;
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.lineJoin = "round";
    context.lineWidth = 3 * ratio;
    context.strokeStyle = this.paper;
    context.fillStyle = this.soft;
    const write = (text, x, y, align, baseline) => {
      context.textAlign = align;
      context.textBaseline = baseline;
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };
    for (const v of axisTicks(left, right, width / ratio / 110)) {
      const [x] = this.toScreen([v, 0]);
      context.fillRect(x, height - 5 * ratio, ratio, 5 * ratio);
      if (x > 30 * ratio && x < width - 16 * ratio) write(axisText(v), x, height - 7 * ratio, "center", "bottom");
    }
    if (!this.plane.axis_names[1]) return;
    for (const v of axisTicks(bottom, top, height / ratio / 80)) {
      const [, y] = this.toScreen([0, v]);
      context.fillRect(0, y, 5 * ratio, ratio);
      if (y > 12 * ratio && y < height - 26 * ratio) write(axisText(v), 8 * ratio, y, "left", "middle");
    }
  }

  drawSelection(context) {
    if (this.outline.length) {
      context.strokeStyle = this.ink;
      context.lineWidth = 1.5 * this.ratio;
      context.setLineDash([5 * this.ratio, 4 * this.ratio]);
      context.beginPath();
      this.outline.map((p) => this.toScreen(p)).forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.stroke();
      context.setLineDash([]);
    }
    context.fillStyle = this.ink;
    context.globalAlpha = 0.6;
    const size = 2 * this.ratio;
    for (const point of this.selected) {
      const [x, y] = this.toScreen(this.placeOfPoint(point));
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  ring(context, place) {
    const [x, y] = this.toScreen(place);
    for (const [style, width] of [[this.paper, 5], [this.ink, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width * this.ratio;
      context.beginPath();
      context.arc(x, y, 7 * this.ratio, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  drawWay(context) {
    if (this.way.length < 2) return;
    const places = this.way.map((place) => this.toScreen(place)), { ratio } = this;
    for (const [style, width] of [[this.paper, 6], ["#D40078", 3]]) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.lineJoin = "round";
      context.beginPath();
      places.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    }
    for (const [k, [x, y]] of this.wayPoints ? places.entries() : []) {
      context.fillStyle = k === places.length - 1 ? "#D40078" : this.paper;
      context.strokeStyle = "#D40078";
      context.lineWidth = 2 * ratio;
      context.beginPath();
      context.arc(x, y, (k === places.length - 1 ? 7 : 4) * ratio, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }

  drawCross(context, { place, colour, size }) {
    const [x, y] = this.toScreen(place);
    for (const [style, width] of [[this.paper, 5], [colour, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width * this.ratio;
      context.beginPath();
      context.moveTo(x - size, y);
      context.lineTo(x + size, y);
      context.moveTo(x, y - size);
      context.lineTo(x, y + size);
      context.stroke();
    }
  }

  draw() {
    const style = getComputedStyle(this.root);
    [this.paper, this.ink, this.soft] = ["paper", "ink", "soft"].map((name) => style.getPropertyValue(`--${name}`).trim());
    if (this.dirty.below) this.drawBelow();
    if (this.dirty.dots) this.drawDots();
    this.dirty = { below: false, dots: false };
    this.drawOver();
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
    this.dirty = { below: true, dots: true };
    this.soon();
  }

  /** Redraw after a change of the decoded images behind the points only. */
  redrawBelow() {
    this.dirty.below = true;
    this.soon();
  }

  /** Give the canvases as many pixels as the map has on the screen. This clears a canvas, so it is
   * redrawn at once; the browser never shows it blank. */
  fit() {
    const box = this.root.getBoundingClientRect();
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [box.width, box.height].map((size) => Math.round(size * this.ratio));
    if (!width || !height || (this.overCanvas.width === width && this.overCanvas.height === height)) return;
    for (const canvas of [this.belowCanvas, this.dotCanvas, this.overCanvas]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.dirty = { below: true, dots: true };
    this.draw();
    this.onView();
  }

  /** Resize when the page moves to a screen with another pixel ratio. */
  watchRatio() {
    matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.fit();
      this.watchRatio();
    }, { once: true });
  }

  /** Backdrop, points and axes on the background colour, as one canvas. */
  still() {
    const canvas = document.createElement("canvas"), { width, height } = this.overCanvas;
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.fillStyle = this.paper;
    context.fillRect(0, 0, width, height);
    context.globalAlpha = Number(getComputedStyle(this.belowCanvas).opacity);
    context.drawImage(this.belowCanvas, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(this.dotCanvas, 0, 0);
    this.drawAxesOn(context);
    return canvas;
  }

  drawAxesOn(context) {
    this.drawAxes(context);
    const { width, height } = context.canvas, [across, up] = this.plane.axis_names, { ratio } = this;
    context.textAlign = "right";
    context.fillText(across, width - 6 * ratio, height - 20 * ratio);
    context.textAlign = "left";
    context.fillText(up, 6 * ratio, 6 * ratio);
  }
}

/** The pixels of a dot: the offset of each from the centre in image data, and its coverage. */
function disc(radius, alpha, width) {
  const reach = Math.ceil(radius), shift = [], over = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
      if (cover <= 0) continue;
      shift.push(4 * (dy * width + dx));
      over.push(alpha * cover);
    }
  }
  return { reach, shift: Int32Array.from(shift), over: Float64Array.from(over) };
}

/** Means over five neighbours along one direction: `n` values `step` apart, in `m` lines. */
function blur(values, n, m, step, stride) {
  const next = new Float32Array(values.length);
  for (let line = 0; line < m; line++) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = Math.max(0, i - 2); j <= Math.min(n - 1, i + 2); j++) sum += values[line * stride + j * step];
      next[line * stride + i * step] = sum / 5;
    }
  }
  return next;
}

/** Round numbers between two ends, about `n` of them. */
function axisTicks(low, high, n) {
  const raw = (high - low) / Math.max(1, n), power = 10 ** Math.floor(Math.log10(raw)), found = [];
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  for (let k = Math.ceil(low / step); k * step <= high && found.length < 50; k++) found.push(k * step);
  return found;
}

const axisText = (v) => `${Number(v.toPrecision(6))}`.replace("-", "−");
