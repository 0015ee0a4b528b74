// A decoder in the page: its weights, as packed by Python, and what they make of latents.
"use strict";

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

function longs(text) {
  const found = numbers(text, 4, (v, i) => v.getUint32(i, true));
  return Uint32Array.from({ length: found.n }, (_, i) => found.at(i));
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

/** A function from a latent to pixels from 0 to 1, or to features in their own units. */
function makeDecoder(packed) {
  const layers = packed.layers.map((layer) => ({
    ...layer,
    weight: floats(layer.weight),
    bias: layer.bias === null ? null : floats(layer.bias),
    activation: activations[layer.activation],
  }));
  const units = packed.units && { mean: floats(packed.units.mean), std: floats(packed.units.std) };
  return (latent) => {
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
  };
}

/** Draws pixels from 0 to 1 of an image of `shape` (height, width, channels) into a canvas. */
function paint(canvas, shape, pixels) {
  const [height, width, channels] = shape;
  canvas.width = width;
  canvas.height = height;
  // What is all but a line fills its place, since nobody would see it in its own proportions.
  canvas.style.objectFit = Math.max(height, width) > 16 * Math.min(height, width) ? "fill" : "";
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * p + c] = Math.round(255 * pixels[channels * p + (channels === 3 ? c : 0)]);
    }
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Features by lines, in their own units. */
function featureLines(values) {
  return Array.from(values.slice(0, 200), (v, k) => `feature ${k}: ${v.toPrecision(4)}`).join("\n");
}

/** A latent in words, its first numbers. */
function latentText(latent) {
  const told = Array.from(latent.slice(0, 8), (v) => v.toFixed(2)).join(", ");
  return `latent ${told}${latent.length > 8 ? ", …" : ""}`;
}
