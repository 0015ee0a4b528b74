// Decoded images behind the points of a map.
"use strict";

/** Images decoded on a grid that is fixed to the plane, so that they stay while the user pans.
 * `decode(latents)` returns images or a promise of them; `latentAt(place)` returns a latent. */
class Backdrop {
  constructor(shape, decode, latentAt, piece = 1) {
    this.shape = shape;
    this.decode = decode;
    this.latentAt = latentAt;
    this.piece = piece; // number of latents decoded at a time
    this.kept = new Map(); // small canvases by level and cell
    this.busy = false;
    this.last = null; // the last whole picture: a canvas, its plane and its part of the plane
  }

  clear() {
    this.kept = new Map(); // decoding in progress still writes to the old map
  }

  draw(context, map) {
    const { width, height } = context.canvas, [sx, sy] = map.scale, [left, right, bottom, top] = map.view;
    const [tall, wide] = this.shape, side = 52 * map.ratio;
    // The size of a cell: that for the whole plane, divided by a power of two.
    const level = Math.round(Math.log2(map.zoom)), cell = [0, 1].map((i) => side / (map.whole[i] * 2 ** level));
    const [x0, y0] = [map.plane.view[0], map.plane.view[2]];
    const range = ([low, high], i, from) => [Math.floor((low - from) / cell[i]), Math.floor((high - from) / cell[i])];
    const [first, last] = range([left, right], 0, x0), [lowest, highest] = range([bottom, top], 1, y0);
    const fit = Math.min((cell[0] * sx) / wide, (cell[1] * sy) / tall), missing = [], found = [];
    context.imageSmoothingEnabled = false;
    for (let j = lowest; j <= highest; j++) {
      for (let i = first; i <= last; i++) {
        const key = `${level}:${i}:${j}`, place = [x0 + (i + 0.5) * cell[0], y0 + (j + 0.5) * cell[1]];
        const small = this.kept.get(key);
        if (!small) {
          missing.push({ key, place });
          continue;
        }
        found.push({ small, place });
      }
    }
    if (missing.length) this.drawLast(context, map);
    const [w, h] = [Math.max(2, wide * fit), Math.max(2, tall * fit)], [a, b] = [cell[0] * sx, cell[1] * sy];
    for (const { small, place } of found) {
      const [x, y] = map.toScreen(place);
      if (missing.length) context.clearRect(x - a / 2, y - b / 2, a, b);
      context.drawImage(small, x - w / 2, y - h / 2, w, h);
    }
    if (missing.length) this.fill(missing, map);
    else this.keep(context.canvas, map);
  }

  /** Keep a picture that is whole. */
  keep(canvas, map) {
    const copy = this.last?.canvas ?? document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    if (canvas.width && canvas.height) copy.getContext("2d").drawImage(canvas, 0, 0);
    this.last = { canvas: copy, plane: map.plane, view: map.view };
  }

  /** Draw the last whole picture, stretched to the new view, until all new images are decoded. */
  drawLast(context, map) {
    if (this.last?.plane !== map.plane || !this.last.canvas.width || !this.last.canvas.height) return;
    const { canvas, view: [left, right, bottom, top] } = this.last;
    const [[x0, y0], [x1, y1]] = [map.toScreen([left, top]), map.toScreen([right, bottom])];
    context.drawImage(canvas, x0, y0, x1 - x0, y1 - y0);
  }

  /** Decode the missing images piece by piece, so that the page stays responsive. */
  async fill(missing, map) {
    this.wanted = missing;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.wanted.length) {
        await new Promise((done) => setTimeout(done, 0));
        const before = performance.now(), { kept } = this;
        while (this.wanted.length && performance.now() - before < 12) {
          const piece = this.wanted.splice(0, this.piece);
          const images = await this.decode(piece.map(({ place }) => this.latentAt(place)));
          piece.forEach(({ key }, k) => {
            const small = document.createElement("canvas");
            paint(small, this.shape, images[k]);
            kept.set(key, small);
          });
        }
        if (this.kept.size > 6000) this.kept = new Map([...this.kept].slice(3000));
        map.redrawBelow();
      }
    } catch {
      this.wanted = []; // the decoder reports its own errors
    } finally {
      this.busy = false;
    }
  }
}
