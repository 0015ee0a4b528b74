// Placing an image on the map: its latent is found by damped Gauss-Newton steps in the page.
"use strict";

const STEPS = 30; // most steps of a search
const SMALL = 1e-5; // a search ends when a step lowers the error by a smaller share
const STARTS = 8; // searches, from the best of the candidates
const PATIENCE = 2500; // milliseconds for the decoding of candidates
const MOST_CANDIDATES = 600;

/** Mean squared difference. */
function meanSquare(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum / a.length;
}

/** Solve `(A + damping · diag(A)) x = b` by Cholesky's method; null if there is no solution. */
function solveDamped(A, b, damping) {
  const n = b.length, L = A.map((row, i) => row.map((v, j) => (i === j ? v * (1 + damping) + 1e-12 : v)));
  for (let j = 0; j < n; j++) {
    for (let k = 0; k < j; k++) for (let i = j; i < n; i++) L[i][j] -= L[i][k] * L[j][k];
    if (!(L[j][j] > 0)) return null;
    const root = Math.sqrt(L[j][j]);
    for (let i = j; i < n; i++) L[i][j] /= root;
  }
  const x = [...b];
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= L[i][k] * x[k];
    x[i] /= L[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= L[k][i] * x[k];
    x[i] /= L[i][i];
  }
  return x;
}

/** Derivatives of the outputs with respect to each latent dimension, by finite differences. */
function derivatives(raw, z, at) {
  return Array.from(z, (v, d) => {
    const step = 1e-4 * Math.max(1, Math.abs(v)), moved = Float64Array.from(z);
    moved[d] += step;
    const there = raw(moved);
    return there.map((w, i) => (w - at[i]) / step);
  });
}

/** One search, from a latent to a local minimum of the error. `rest()` lets the page react. */
async function descend(raw, target, start, rest) {
  let z = Float64Array.from(start), at = raw(z), loss = meanSquare(at, target), damping = 1e-3, J = null;
  const n = z.length;
  for (let step = 0; step < STEPS; step++) {
    J ??= derivatives(raw, z, at);
    await rest();
    const r = target.map((t, i) => t - at[i]);
    const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
    const A = J.map((row, i) => J.map((other, j) => (j <= i ? dot(row, other) : 0)));
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) A[i][j] = A[j][i];
    const move = solveDamped(A, J.map((row) => dot(row, r)), damping);
    if (move === null) {
      damping = Math.max(1e-3, 10 * damping);
      continue;
    }
    const next = z.map((v, d) => v + move[d]), there = raw(next), found = meanSquare(there, target);
    if (found < loss) {
      const gain = (loss - found) / loss;
      // If derivatives are expensive, update the previous ones by the result of the step (Broyden).
      J = n <= 4 ? null : broyden(J, move, there, at);
      [z, at, loss] = [next, there, found];
      damping = Math.max(1e-6, damping / 5);
      if (gain < SMALL) break;
    } else {
      if (damping > 1e6) break;
      damping *= 8;
      if (n > 4) J = null;
    }
  }
  return { latent: z, loss };
}

function broyden(J, move, there, at) {
  const size = move.reduce((sum, v) => sum + v * v, 0);
  const miss = there.map((v, i) => v - at[i] - J.reduce((sum, row, d) => sum + row[i] * move[d], 0));
  return J.map((row, d) => row.map((v, i) => v + (miss[i] * move[d]) / size));
}

/**
 * The latent whose decoded image is nearest to pixels from 0 to 1. As many candidates as time
 * allows are decoded, and searches start at the best. `tell(share)` is called with the progress.
 */
async function placeImage(decode, pixels, candidates, tell = () => {}) {
  const target = decode.scaled(pixels), { raw } = decode;
  let last = performance.now();
  const rest = async () => {
    if (performance.now() - last < 30) return;
    await new Promise((done) => setTimeout(done, 0));
    last = performance.now();
  };
  const begun = performance.now(), found = [];
  for (const latent of candidates.slice(0, MOST_CANDIDATES)) {
    found.push({ latent, loss: meanSquare(raw(latent), target) });
    await rest();
    if (found.length >= 16 && performance.now() - begun > PATIENCE) break;
  }
  found.sort((a, b) => a.loss - b.loss);
  // A slow decoder gets fewer searches, to take only a few times as long as the candidates.
  const each = (performance.now() - begun) / found.length, dims = found[0].latent.length;
  const searches = Math.max(2, Math.min(STARTS, Math.floor((3 * PATIENCE) / (each * 10 * (dims + 1)))));
  let best = found[0];
  for (let k = 0; k < Math.min(searches, found.length); k++) {
    const end = await descend(raw, target, found[k].latent, rest);
    if (end.loss < best.loss) best = end;
    tell((k + 1) / searches);
  }
  return best;
}

const LOBES = 3; // of Lanczos' filter
const LARGE = 4e6; // pixels of a picture above which it is halved before it is filtered

/** The weights of Lanczos' filter for each of `size` outputs from the inputs `from` to `to`. */
function lanczos(n, from, to, size) {
  const scale = (to - from) / size, wide = Math.max(1, scale), reach = LOBES * wide;
  const sinc = (v) => (v === 0 ? 1 : Math.sin(Math.PI * v) / (Math.PI * v));
  return Array.from({ length: size }, (_, k) => {
    const middle = from + (k + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - reach + 0.5)), last = Math.min(n, Math.floor(middle + reach + 0.5));
    const taps = Array.from({ length: last - first }, (_, i) => {
      const v = (first + i + 0.5 - middle) / wide;
      return Math.abs(v) < LOBES ? sinc(v) * sinc(v / LOBES) : 0;
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return { first, taps: taps.map((v) => v / sum) };
  });
}

/** Scale the cut `[x, y, width, height]` of an image of bytes as Pillow does: along rows, then along
 * columns, rounded after each. */
function resample(values, [height, width, channels], [x, y, w, h], [tall, wide]) {
  const across = lanczos(width, x, x + w, wide), down = lanczos(height, y, y + h, tall);
  const between = new Uint8ClampedArray(height * wide * channels), out = new Uint8ClampedArray(tall * wide * channels);
  const [top, bottom] = [down[0].first, down.at(-1).first + down.at(-1).taps.length];
  for (let row = top; row < bottom; row++) {
    across.forEach(({ first, taps }, column) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0, at = (row * width + first) * channels + c; i < taps.length; i++, at += channels) sum += taps[i] * values[at];
        between[(row * wide + column) * channels + c] = sum;
      }
    });
  }
  const step = wide * channels;
  down.forEach(({ first, taps }, row) => {
    for (let k = 0; k < step; k++) {
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += taps[i] * between[(first + i) * step + k];
      out[row * step + k] = sum;
    }
  });
  return out;
}

/** Pixels from 0 to 1 of a picture for a decoder of images of `shape`, as Python reads them: cropped
 * around the centre and scaled by Lanczos' filter, with transparent parts on white. */
function readPixels(picture, [height, width, channels]) {
  let [w, h] = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
  while (w * h > LARGE && w >= 4 * width && h >= 4 * height) [w, h] = [Math.ceil(w / 2), Math.ceil(h / 2)];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, w, h);
  const { data } = context.getImageData(0, 0, w, h), values = new Uint8Array(w * h * channels);
  for (let p = 0; p < w * h; p++) {
    const [r, g, b] = [data[4 * p], data[4 * p + 1], data[4 * p + 2]];
    if (channels === 3) values.set([r, g, b], 3 * p);
    else for (let c = 0; c < channels; c++) values[channels * p + c] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
  }
  const share = Math.min(w / width, h / height), [cutW, cutH] = [width * share, height * share];
  const cut = [(w - cutW) / 2, (h - cutH) / 2, cutW, cutH], same = w === width && h === height;
  const scaled = same ? values : resample(values, [h, w, channels], cut, [height, width]);
  return Float32Array.from(scaled, (v) => v / 255);
}

/** Whether the blocks of a GIF lead to its end. */
function hasGifEnd(bytes) {
  const table = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0); // a table of colours
  let at = 13 + table(bytes[10]);
  while (at < bytes.length && bytes[at] !== 0x3b) {
    if (bytes[at] === 0x21) at += 2;
    else if (bytes[at] === 0x2c) at += 11 + table(bytes[at + 9]);
    else return false;
    while (bytes[at]) at += bytes[at] + 1;
    at += 1;
  }
  return bytes[at] === 0x3b;
}

/** Whether the bytes of an image file are all there; browsers also show the first part of one. */
function isWhole(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), n = bytes.length;
  const word = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
  if (word(1, 3) === "PNG") {
    for (let at = 8; at + 12 <= n; at += 12 + view.getUint32(at)) if (word(at + 4, 4) === "IEND") return true;
    return false;
  }
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    let at = 2; // segments of the header, in which a small copy of the image may be whole
    while (at + 4 <= n && bytes[at + 1] !== 0xda) at += bytes[at + 1] === 0xff ? 1 : 2 + view.getUint16(at + 2);
    for (; at + 1 < n; at++) if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
    return false;
  }
  if (word(0, 4) === "RIFF") return n >= 8 && view.getUint32(4, true) + 8 <= n;
  if (word(0, 3) === "GIF") return hasGifEnd(bytes);
  return true;
}
