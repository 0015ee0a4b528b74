// The latent plane of a page: points by class, and the decoder at work below the pointer.
"use strict";

const packed = JSON.parse(document.getElementById("model").textContent);

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function numbers(text, size, read) {
  // By view, so that the order of bytes does not depend on the machine.
  const raw = bytes(text), view = new DataView(raw.buffer), n = raw.length / size;
  return { n, at: (i) => read(view, size * i) };
}

function floats(text) {
  const found = numbers(text, 4, (v, i) => v.getFloat32(i, true));
  return Float32Array.from({ length: found.n }, (_, i) => found.at(i));
}

function shorts(text) {
  const found = numbers(text, 2, (v, i) => v.getUint16(i, true));
  return Uint16Array.from({ length: found.n }, (_, i) => found.at(i));
}

// Abramowitz & Stegun 7.1.26: within 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - p * Math.exp(-x * x));
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const activations = {
  relu: (x) => Math.max(x, 0),
  leaky_relu: (x) => (x >= 0 ? x : 0.2 * x),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  tanh: Math.tanh,
  sigmoid,
  softplus,
  swish: (x) => x * sigmoid(x),
  silu: (x) => x * sigmoid(x),
  mish: (x) => x * Math.tanh(softplus(x)),
  linear: (x) => x,
};

const layers = packed.layers.map((layer) => ({
  ...layer,
  weight: floats(layer.weight),
  bias: layer.bias === null ? null : floats(layer.bias),
  activation: activations[layer.activation],
}));

const units = packed.units && { mean: floats(packed.units.mean), std: floats(packed.units.std) };

/** Pixels from 0 to 1 of a latent, or features in their own units. */
function decode(latent) {
  let values = Float64Array.from(latent);
  for (const { inputs, outputs, weight, bias, activation } of layers) {
    const next = new Float64Array(outputs);
    for (let o = 0, w = 0; o < outputs; o++) {
      let sum = bias === null ? 0 : bias[o];
      for (let i = 0; i < inputs; i++) sum += values[i] * weight[w++];
      next[o] = activation(sum);
    }
    values = next;
  }
  if (units) return values.map((v, k) => v * units.std[k] + units.mean[k]);
  return values.map((v) => Math.min(1, Math.max(0, (v - packed.low) / packed.span)));
}

const [left, right, bottom, top_] = packed.view;

/** The latent at a point of the plane. */
function latentAt([a, b]) {
  return packed.centre.map((c, k) => c + a * packed.axes[0][k] + b * packed.axes[1][k]);
}

function paint(canvas, pixels) {
  const [height, width, channels] = packed.shape;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * p + c] = Math.round(255 * pixels[channels * p + (channels === 3 ? c : 0)]);
    }
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const map = document.getElementById("map");
const decoded = document.getElementById("decoded");
const where = document.getElementById("where");
const valuesBox = document.getElementById("values");
const pins = document.getElementById("pins");
const colours = packed.colours.map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
const sets = Object.entries(packed.points).map(([name, points]) => ({
  name,
  n: points.n,
  places: shorts(points.places),
  classes: points.classes === null ? null : shorts(points.classes),
}));
const hidden = new Set();
const shown = { train: true, val: true, images: false };
const pinned = [];
let point = [(left + right) / 2, (bottom + top_) / 2];
let scene = null; // what lies below the cross: drawn when it changes, not at every move

function toScreen([a, b]) {
  return [((a - left) / (right - left)) * map.width, ((top_ - b) / (top_ - bottom)) * map.height];
}

function toPlane(event) {
  const box = map.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  return [left + x * (right - left), top_ - y * (top_ - bottom)];
}

function drawImages(context) {
  const [height, width] = packed.shape, n = Math.max(6, Math.round(map.width / 55));
  const small = document.createElement("canvas");
  const side = map.width / n, scale = side / Math.max(height, width);
  context.imageSmoothingEnabled = false;
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      const a = left + ((column + 0.5) / n) * (right - left), b = top_ - ((row + 0.5) / n) * (top_ - bottom);
      paint(small, decode(latentAt([a, b])));
      context.drawImage(small, column * side, row * side, width * scale, height * scale);
    }
  }
}

function drawPoints(context) {
  const { width, height } = map, image = context.getImageData(0, 0, width, height), data = image.data;
  const total = sets.reduce((n, set) => n + (shown[set.name] ? set.n : 0), 0);
  const base = width > 900 ? 1 : 0, size = base + (total > 20000 ? 1 : total > 2000 ? 2 : 4);
  for (const set of sets) {
    if (!shown[set.name]) continue;
    for (let k = 0; k < set.n; k++) {
      const of = set.classes === null ? 0 : set.classes[k];
      if (hidden.has(of)) continue;
      const x = Math.round((set.places[2 * k] / 65535) * (width - 1));
      const y = Math.round((1 - set.places[2 * k + 1] / 65535) * (height - 1));
      const colour = colours[of % colours.length];
      for (let dy = 0; dy < size; dy++) {
        for (let dx = 0; dx < size; dx++) {
          if (x + dx >= width || y + dy >= height) continue;
          const at = 4 * ((y + dy) * width + x + dx);
          data[at] = colour[0];
          data[at + 1] = colour[1];
          data[at + 2] = colour[2];
          data[at + 3] = 255;
        }
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function drawScene() {
  const context = map.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, map.width, map.height);
  if (shown.images) drawImages(context);
  drawPoints(context);
  scene = context.getImageData(0, 0, map.width, map.height);
}

function drawCross(context, at, colour, size) {
  const [x, y] = toScreen(at);
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

function show() {
  const context = map.getContext("2d", { willReadFrequently: true });
  if (scene === null) drawScene();
  context.putImageData(scene, 0, 0);
  for (const pin of pinned) drawCross(context, pin, "#0072B2", 9);
  drawCross(context, point, "#000000", 14);
  const latent = latentAt(point), pixels = decode(latent);
  const told = latent.slice(0, 8).map((v) => v.toFixed(2)).join(", ");
  where.textContent = `latent ${told}${latent.length > 8 ? ", …" : ""}`;
  if (units) {
    const rows = Array.from(pixels.slice(0, 200), (v, k) => `feature ${k}: ${v.toPrecision(4)}`);
    valuesBox.textContent = rows.join("\n");
  } else {
    paint(decoded, pixels);
  }
}

let waiting = false;
function soon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    show();
  });
}

function moveTo(to) {
  point = [Math.min(right, Math.max(left, to[0])), Math.min(top_, Math.max(bottom, to[1]))];
  soon();
}

function redraw() {
  scene = null;
  soon();
}

function pin() {
  if (units) return;
  const at = [...point], canvas = document.createElement("canvas");
  paint(canvas, decode(latentAt(at)));
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "button");
  canvas.setAttribute("aria-label", "pinned image; press to let go");
  const letGo = () => {
    pinned.splice(pinned.indexOf(at), 1);
    canvas.remove();
    soon();
  };
  canvas.addEventListener("click", letGo);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " " || event.key === "Delete") letGo();
  });
  pinned.push(at);
  pins.append(canvas);
  soon();
}

map.addEventListener("pointermove", (event) => moveTo(toPlane(event)));
map.addEventListener("pointerdown", (event) => moveTo(toPlane(event)));
map.addEventListener("click", (event) => {
  moveTo(toPlane(event));
  pin();
});
map.addEventListener("keydown", (event) => {
  const step = (event.shiftKey ? 0.05 : 0.01) * (right - left), rise = step * ((top_ - bottom) / (right - left));
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, rise], ArrowDown: [0, -rise] };
  if (event.key in moves) {
    const [da, db] = moves[event.key];
    moveTo([point[0] + da, point[1] + db]);
  } else if (event.key === "Enter" || event.key === " ") {
    pin();
  } else {
    return;
  }
  event.preventDefault();
});
for (const box of document.querySelectorAll("input[data-class]")) {
  box.addEventListener("change", () => {
    const of = Number(box.dataset.class);
    if (box.checked) hidden.delete(of);
    else hidden.add(of);
    redraw();
  });
}
for (const box of document.querySelectorAll("input[data-layer]")) {
  box.addEventListener("change", () => {
    shown[box.dataset.layer] = box.checked;
    redraw();
  });
}
for (const [id, on] of [["all", true], ["none", false]]) {
  const button = document.getElementById(id);
  if (button) {
    button.addEventListener("click", () => {
      for (const box of document.querySelectorAll("input[data-class]")) {
        if (box.checked !== on) box.click();
      }
    });
  }
}

function fit() {
  const side = Math.round(map.getBoundingClientRect().width * Math.min(2, window.devicePixelRatio || 1));
  if (side && map.width !== side) {
    map.width = map.height = side;
    redraw();
  }
}
new ResizeObserver(fit).observe(map);
fit();
show();
window.autodecoder = { decode, latentAt, moveTo };
