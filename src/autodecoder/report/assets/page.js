// The page of a model: decodes below the pointer, keeps and places images, plays the film.
"use strict";

(() => {
  const packed = JSON.parse(document.getElementById("model").textContent);
  const sheets = document.getElementById("originals");
  const decode = packed.operators && makeDecoder(packed); // null if the decoder is not in the page
  const $ = (id) => document.getElementById(id);
  const points = new Points(packed, sheets && JSON.parse(sheets.textContent));

  // --- the image at the cross --------------------------------------------------------------

  function show(place, near) {
    const latent = map.latentAt(place);
    $("where").textContent = latentText(latent);
    panel?.showNearest(near);
    if (!decode) return;
    const values = decode(latent);
    if (packed.units) $("values").textContent = featureLines(values);
    else paint($("decoded"), packed.shape, values);
  }

  let next = null; // the latent to show at the next animation frame
  function onMove(...moved) {
    if (next === null) requestAnimationFrame(() => {
      show(...next);
      next = null;
    });
    next = moved;
  }

  let panel = null;
  const map = new LatentMap($("map"), points, packed, {
    onMove,
    onPick: (place, near) => {
      panel.hold(near);
      pin(place);
    },
  });
  panel = new Panel(map, points, {
    shape: packed.units ? null : packed.shape,
    decode: decode && !packed.units ? (latents) => latents.map(decode) : null,
    fileName: "map",
  });
  const below = document.querySelector("input[data-below]");
  if (below) {
    const backdrop = new Backdrop(packed.shape, (latents) => latents.map(decode), (place) => map.latentAt(place));
    const choose = () => {
      map.backdrop = below.checked ? backdrop : null;
      map.redrawBelow();
    };
    below.addEventListener("change", choose);
    choose();
  }

  // --- kept images, and the path between two of them ---------------------------------------

  function pin(place) {
    if (packed.units || !decode) return;
    const canvas = document.createElement("canvas");
    const cross = { place: [...place], colour: "#0072B2", size: 9 * map.ratio };
    paint(canvas, packed.shape, decode(map.latentAt(place)));
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "button");
    canvas.setAttribute("aria-label", "Kept image; press to remove it");
    canvas.title = "Click to remove";
    const remove = () => {
      const focused = document.activeElement === canvas;
      map.crosses.splice(map.crosses.indexOf(cross), 1);
      canvas.remove();
      if (focused) ($("pins").firstElementChild ?? map.root).focus({ preventScroll: true });
      map.soon();
      showWay();
    };
    canvas.addEventListener("click", remove);
    canvas.addEventListener("keydown", (event) => {
      if (!["Enter", " ", "Delete"].includes(event.key)) return;
      event.preventDefault();
      remove();
    });
    map.crosses.push(cross);
    $("pins").append(canvas);
    map.soon();
    showWay();
  }

  /** Images on the straight line between the last two kept latents. */
  function showWay() {
    const pins = map.crosses.filter(({ placed }) => !placed), [a, b] = pins.slice(-2), n = 8;
    map.way = b ? [a.place, b.place] : [];
    map.wayPoints = false;
    $("way").replaceChildren(...(b ? Array.from({ length: n }, (_, k) => {
      const canvas = document.createElement("canvas"), t = k / (n - 1);
      paint(canvas, packed.shape, decode(map.latentAt([0, 1].map((i) => (1 - t) * a.place[i] + t * b.place[i]))));
      return canvas;
    }) : []));
    $("way-text").hidden = !b;
    $("keep-hint").hidden = pins.length > 0;
  }

  // --- the film ----------------------------------------------------------------------------

  const film = $("film"), { frames, rows, n, classes } = packed.film;
  if (film) {
    const sets = frames.map((frame) => ["train", "val"].map((name) =>
      unpackSet(name, { n: n[name], rows: rows[name], places: frame[name], classes: classes[name] })));
    let playing = false;
    const end = frames.length; // after the last frame come all points in their final places
    const showFrame = (k) => {
      film.value = k;
      const frame = frames[k];
      map.setFrame(frame ? sets[k] : null);
      panel.release();
      panel.tellMissing(frame?.missing);
      $("epoch").textContent = frame ? `epoch ${frame.epoch}` : packed.film.end;
    };
    const stop = () => {
      playing = false;
      $("play").textContent = "Play";
    };
    /** Points between two frames. */
    const between = (k, t) => sets[k].map((from, s) => {
      const to = sets[k + 1][s], mixed = { ...from };
      for (const axis of ["x", "y"]) mixed[axis] = from[axis].map((v, i) => (1 - t) * v + t * to[axis][i]);
      return mixed;
    });
    $("play").addEventListener("click", async () => {
      if (playing) return stop();
      playing = true;
      $("play").textContent = "Stop";
      const first = film.valueAsNumber >= end - 1 ? 0 : film.valueAsNumber, begun = performance.now();
      const pause = Math.max(120, 6000 / end); // milliseconds from frame to frame
      for (let k = 0; k < end; k++) map.setFrame(sets[k]); // so that the places of all frames are computed
      while (playing) {
        const at = first + Math.max(0, await nextFrame() - begun) / pause, k = Math.floor(at);
        if (!playing) return;
        if (k >= end - 1) {
          showFrame(end - 1);
          setTimeout(() => playing && (stop(), showFrame(end)), 600);
          return;
        }
        showFrame(k);
        map.setFrame(between(k, at - k));
      }
    });
    film.addEventListener("input", () => {
      stop();
      showFrame(film.valueAsNumber);
    });
  }

  // --- the user's own image ----------------------------------------------------------------

  /** Candidate latents: those of up to 400 points of each set, else the one at the cross. */
  function candidates() {
    const known = points.sets.flatMap((set) => {
      const some = packed.centre.length <= 2 ? set.n : set.nLatents;
      return Array.from({ length: Math.min(some, 400) }, (_, k) => [set, k])
        .filter(([, k]) => set.x[k] === set.x[k]).map(([s, k]) => points.latent(s, k, map));
    });
    if (known.length) return known;
    return [map.latentAt(map.place)];
  }

  async function place(pixels, name = "Your image") {
    panel.release();
    $("placed").hidden = false;
    $("given-name").textContent = name;
    $("found").textContent = "Searching …";
    paint($("given"), packed.shape, pixels);
    map.setFrame(null);
    const best = await placeImage(decode, pixels, candidates(), (share) => {
      $("found").textContent = `Searching … ${Math.round(100 * share)} %`;
    });
    const spot = map.placeOf(best.latent), image = decode(best.latent);
    paint($("rebuilt"), packed.shape, image);
    const psnr = 10 * Math.log10(1 / meanSquare(image, pixels)), near = map.nearest(spot, Infinity);
    const [left, right, bottom, top] = packed.view;
    const inside = spot[0] >= left && spot[0] <= right && spot[1] >= bottom && spot[1] <= top;
    $("found").textContent = `Mean squared error ${best.loss.toPrecision(4)}, PSNR ${psnr.toFixed(1)} dB.` +
      `${near ? ` Next to ${points.line(near)}.` : ""}` +
      `${inside ? "" : " It lies outside the map."}`;
    map.crosses = map.crosses.filter(({ placed }) => !placed);
    map.crosses.push({ place: spot, colour: "#D40078", size: 16 * map.ratio, placed: true });
    if (inside) map.moveTo(spot);
    else map.soon();
    return best;
  }

  async function open(file) {
    if (!file || !$("placed")) return;
    const picture = new Image(), name = file.name || "This file";
    const refuse = (why) => {
      $("placed").hidden = true;
      $("found").textContent = `${name} ${why}`;
      map.crosses = map.crosses.filter(({ placed }) => !placed);
      map.soon();
    };
    if (!isWhole(new Uint8Array(await file.arrayBuffer()))) return refuse("is damaged: its end is missing.");
    picture.src = URL.createObjectURL(file);
    try {
      await picture.decode();
    } catch {
      return refuse("is not an image that the browser can read.");
    } finally {
      URL.revokeObjectURL(picture.src);
    }
    await place(readPixels(picture, packed.shape), file.name);
  }

  if ($("file")) takeFiles($("file"), open);

  show(map.place, map.nearest(map.place));
  performance.mark("map");
  window.autodecoder = { decode, map, points, place, latentAt: (at) => map.latentAt(at), moveTo: (at) => map.moveTo(at) };
})();
