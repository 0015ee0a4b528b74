// The decoder in the page: unpacks the weights packed by Python, and decodes latents.
"use strict";

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// Numbers are little-endian, as on all machines that run a browser.
const floats = (text) => new Float32Array(bytes(text).buffer);
const shorts = (text) => new Uint16Array(bytes(text).buffer);
const longs = (text) => new Uint32Array(bytes(text).buffer);

/** Unpacks half-precision numbers: a sign, five bits of exponent, ten of fraction. */
function halves(text) {
  return Float32Array.from(shorts(text), (bits) => HALVES[bits]);
}

const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
});

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

// The operators of a decoder. Each takes and returns values; those of an image have a `shape`:
// height, width and channels, with the channels of a pixel side by side.
const operators = {
  Dense({ values }, { weight, bias }) {
    const [outputs, inputs] = [weight.shape[1], weight.shape[0]], next = new Float64Array(outputs);
    for (let o = 0, w = 0; o < outputs; o++) {
      let sum = bias === null ? 0 : bias.numbers[o];
      for (let i = 0; i < inputs; i++) sum += values[i] * weight.numbers[w++];
      next[o] = sum;
    }
    return { values: next, shape: null };
  },
  Activate: ({ values, shape }, { name }) => ({ values: values.map(activations[name]), shape }),
  Unflatten: ({ values }, { height, width, channels }) => ({ values, shape: [height, width, channels] }),
  Flatten: ({ values }) => ({ values, shape: null }),
  Upsample: (image, { weight, bias }) => spread(image, weight, bias, 4, 2),
  Convolve: (image, { weight, bias }) => spread(image, weight, bias, 3, 1),
  GroupNorm({ values, shape }, { n_groups, scale, offset, epsilon }) {
    const channels = scale.numbers.length, size = channels / n_groups, next = new Float64Array(values.length);
    for (let first = 0; first < channels; first += size) {
      let n = 0, mean = 0, variance = 0;
      const each = (visit) => {
        for (let p = first; p < values.length; p += channels) for (let c = 0; c < size; c++) visit(p + c, first + c);
      };
      each((k) => { mean += values[k]; n++; });
      mean /= n;
      each((k) => { variance += (values[k] - mean) ** 2; });
      const factor = 1 / Math.sqrt(variance / n + epsilon);
      each((k, c) => { next[k] = (values[k] - mean) * factor * scale.numbers[c] + offset.numbers[c]; });
    }
    return { values: next, shape };
  },
  Residual(image, { operators: inner }) {
    const more = run(inner, image).values;
    return { values: image.values.map((v, k) => v + more[k]), shape: image.shape };
  },
  Crop({ values, shape: [, wide, channels] }, { top, left, height, width }) {
    const next = new Float64Array(height * width * channels);
    for (let y = 0; y < height; y++) {
      const from = ((top + y) * wide + left) * channels;
      next.set(values.subarray(from, from + width * channels), y * width * channels);
    }
    return { values: next, shape: [height, width, channels] };
  },
};

// Adds each input pixel, weighted by each tap of a kernel of `side`, to the output pixels that it
// touches. Taps are ordered (output, input, row, column). `stride` 1 is a convolution, with its
// taps flipped.
function spread({ values, shape: [height, width, inputs] }, weight, bias, side, stride) {
  const outputs = weight.shape[3], [tall, wide] = [height * stride, width * stride];
  const next = new Float64Array(tall * wide * outputs);
  if (bias !== null) for (let k = 0; k < next.length; k++) next[k] = bias.numbers[k % outputs];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const from = (y * width + x) * inputs;
    for (let a = 0; a < side; a++) for (let b = 0; b < side; b++) {
      const [row, column] = stride === 1 ? [y + 1 - a, x + 1 - b] : [2 * y + a - 1, 2 * x + b - 1];
      if (row < 0 || row >= tall || column < 0 || column >= wide) continue;
      const to = (row * wide + column) * outputs;
      for (let o = 0; o < outputs; o++) {
        let sum = 0;
        for (let i = 0, w = (o * inputs * side + a) * side + b; i < inputs; i++, w += side * side) {
          sum += values[from + i] * weight.numbers[w];
        }
        next[to + o] += sum;
      }
    }
  }
  return { values: next, shape: [tall, wide, outputs] };
}

function run(steps, image) {
  return steps.reduce((before, step) => operators[step.kind](before, step), image);
}

// Replaces the indices of arrays in an operator, at any depth, by the arrays.
function unpack(step) {
  const entries = Object.entries(step).map(([name, value]) => {
    if (Array.isArray(value)) return [name, value.map(unpack)];
    if (value === null || typeof value !== "object") return [name, value];
    return [name, { ...value, numbers: value.bits === 16 ? halves(value.numbers) : floats(value.numbers) }];
  });
  return Object.fromEntries(entries);
}

/** Returns a function from a latent to pixels from 0 to 1, or to features in their own units. Its
 * `raw` returns the decoder's outputs; its `scaled` converts pixels to the scale of outputs. */
function makeDecoder(packed) {
  const steps = packed.operators.map(unpack), { low, span } = packed;
  const units = packed.units && { mean: floats(packed.units.mean), std: floats(packed.units.std) };
  const raw = (latent) => run(steps, { values: Float64Array.from(latent), shape: null }).values;
  const decode = (latent) => {
    const values = raw(latent);
    if (units) return values.map((v, k) => v * units.std[k] + units.mean[k]);
    return values.map((v) => Math.min(1, Math.max(0, (v - low) / span)));
  };
  return Object.assign(decode, { raw, scaled: (pixels) => Float64Array.from(pixels, (v) => low + span * v), span });
}

/** Draws pixels from 0 to 1 of an image of `shape` (height, width, channels) into a canvas. */
function paint(canvas, shape, pixels) {
  const [height, width, channels] = shape;
  canvas.width = width;
  canvas.height = height;
  // An image that is nearly a line fills its place, since it would be invisible in its proportions.
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

/** Features as lines of text, in their own units. */
function featureLines(values) {
  return Array.from(values.slice(0, 200), (v, k) => `feature ${k}: ${v.toPrecision(4)}`).join("\n");
}

/** The first numbers of a latent as text. */
function latentText(latent) {
  const told = Array.from(latent.slice(0, 8), (v) => v.toFixed(2)).join(", ");
  return `latent ${told}${latent.length > 8 ? ", …" : ""}`;
}
