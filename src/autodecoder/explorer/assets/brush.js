// An image whose pixels are drawn or hidden by pointer or keys.
"use strict";

class Easel {
  /** `shape`: height, width, channels; `onChange()` is called after a stroke changed the image. */
  constructor(canvas, shape, onChange) {
    this.canvas = canvas;
    this.shape = shape;
    this.onChange = onChange;
    this.values = new Float32Array(shape[0] * shape[1] * shape[2]); // 0 to 255
    this.seen = new Uint8Array(shape[0] * shape[1]).fill(1);
    this.spot = [shape[1] / 2, shape[0] / 2]; // place of the brush, in pixels
    this.radius = 1;
    this.tool = "hide";
    this.ink = [255, 255, 255];
    this.last = null;
    this.listen();
  }

  /** Sets the image; `known`, a list of booleans, marks the visible pixels, by default all. */
  set(values, known = null) {
    this.values = Float32Array.from(values);
    this.seen.fill(1);
    if (known) this.seen.set(known.map(Number));
    this.draw();
  }

  showAll() {
    this.seen.fill(1);
    this.draw();
  }

  hideLeft() {
    const [height, width] = this.shape;
    for (let p = 0; p < height * width; p++) this.seen[p] = p % width < width / 2 ? 0 : 1;
    this.draw();
  }

  /** Applies the tool in a disc; drawn edges are soft. */
  dab([x, y]) {
    const [height, width, channels] = this.shape, reach = this.radius + 0.5;
    for (let row = Math.max(0, Math.floor(y - reach)); row < Math.min(height, y + reach); row++) {
      for (let column = Math.max(0, Math.floor(x - reach)); column < Math.min(width, x + reach); column++) {
        const far = Math.hypot(column + 0.5 - x, row + 0.5 - y), p = row * width + column;
        const cover = Math.min(1, Math.max(0, reach - far));
        if (this.tool === "hide" || this.tool === "show") {
          if (cover > 0.3) this.seen[p] = this.tool === "show" ? 1 : 0;
          continue;
        }
        for (let c = 0; c < channels; c++) {
          const ink = this.tool === "pen" ? this.ink[channels === 3 ? c : 0] : 0;
          const at = p * channels + c;
          this.values[at] += cover * (ink - this.values[at]);
        }
      }
    }
  }

  stroke(to) {
    const from = this.last ?? to, n = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / 0.5));
    for (let k = 1; k <= n; k++) {
      this.dab([from[0] + ((to[0] - from[0]) * k) / n, from[1] + ((to[1] - from[1]) * k) / n]);
    }
    this.last = to;
    this.draw();
    this.onChange();
  }

  spotOf(event) {
    const box = this.canvas.getBoundingClientRect(), [height, width] = this.shape;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = null;
      this.stroke(this.spotOf(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.stroke(this.spotOf(event));
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const [height, width] = this.shape;
      if (event.key in moves) {
        const [dx, dy] = moves[event.key], [x, y] = this.spot;
        this.spot = [Math.min(width, Math.max(0, x + dx)), Math.min(height, Math.max(0, y + dy))];
        this.draw();
      } else if (event.key === " ") {
        this.last = null;
        this.stroke(this.spot);
      } else {
        return;
      }
      event.preventDefault();
    });
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.draw());
  }

  draw() {
    const { canvas, shape } = this, [height, width] = shape;
    paint(canvas, shape, this.values.map((v) => v / 255));
    const context = canvas.getContext("2d");
    context.fillStyle = "rgb(86, 180, 233)";
    for (let p = 0; p < height * width; p++) {
      if (!this.seen[p]) context.fillRect(p % width, Math.floor(p / width), 1, 1);
    }
    if (canvas.matches(":focus-visible")) {
      context.fillStyle = "rgba(213, 94, 0, 0.8)";
      context.fillRect(Math.floor(this.spot[0]), Math.floor(this.spot[1]), 1, 1);
    }
  }
}
