// The page on a model: below the pointer the decoder is at work, and a click keeps an image.
"use strict";

(() => {
  const packed = JSON.parse(document.getElementById("model").textContent);
  const decode = packed.operators && makeDecoder(packed); // of one too large to travel nothing is here
  const [decoded, where, valuesBox, pins] = ["decoded", "where", "values", "pins"].map((id) =>
    document.getElementById(id));

  function show(place) {
    const latent = map.latentAt(place);
    where.textContent = latentText(latent);
    if (!decode) return;
    const values = decode(latent);
    if (packed.units) valuesBox.textContent = featureLines(values);
    else paint(decoded, packed.shape, values);
  }

  function pin(place) {
    if (packed.units || !decode) return;
    const canvas = document.createElement("canvas");
    const cross = { place: [...place], colour: "#0072B2", size: 9 };
    paint(canvas, packed.shape, decode(map.latentAt(place)));
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "button");
    canvas.setAttribute("aria-label", "pinned image; press to let go");
    const letGo = () => {
      const focused = document.activeElement === canvas;
      map.crosses.splice(map.crosses.indexOf(cross), 1);
      canvas.remove();
      if (focused) (pins.firstElementChild ?? map.canvas).focus({ preventScroll: true });
      map.soon();
      showWay();
    };
    canvas.addEventListener("click", letGo);
    canvas.addEventListener("keydown", (event) => {
      if (!["Enter", " ", "Delete"].includes(event.key)) return;
      event.preventDefault();
      letGo();
    });
    map.crosses.push(cross);
    pins.append(canvas);
    map.soon();
    showWay();
  }

  /** Images on the straight way between the last two pins. */
  function showWay() {
    const box = document.getElementById("way"), [a, b] = map.crosses.slice(-2);
    const n = 8;
    map.way = b ? [a.place, b.place] : [];
    map.wayPoints = false;
    box.replaceChildren(...(b ? Array.from({ length: n }, (_, k) => {
      const canvas = document.createElement("canvas"), t = k / (n - 1);
      paint(canvas, packed.shape, decode(map.latentAt([0, 1].map((i) => (1 - t) * a.place[i] + t * b.place[i]))));
      return canvas;
    }) : []));
    document.getElementById("way-text").hidden = !b;
  }

  let next = null; // the place to be shown at the next frame
  function onMove(place) {
    if (next === null) requestAnimationFrame(() => {
      show(next);
      next = null;
    });
    next = place;
  }

  const map = new LatentMap(document.getElementById("map"), packed, packed.colours, { onMove, onPick: pin });
  map.bindBoxes();
  document.querySelector("input[data-below]")?.addEventListener("change", (event) => {
    const draw = (context) => drawImages(map, context, packed.shape, (place) => decode(map.latentAt(place)));
    map.below = event.target.checked ? draw : null;
    map.redraw();
  });
  const film = document.getElementById("film"), { frames, n, rows, classes } = packed.film;
  film?.addEventListener("input", () => {
    const frame = frames[film.valueAsNumber]; // behind the last one, all points as they ended
    const points = frame && Object.fromEntries(["train", "val"].map((name) =>
      [name, {
        n: n[name], rows: rows[name], places: frame[name], classes: classes[name], missing: frame.missing[name],
      }]));
    map.setPoints(points ?? packed.points);
    document.getElementById("epoch").textContent = frame ? `epoch ${frame.epoch}` : "the end";
  });
  show(map.place);
  window.autodecoder = { decode, latentAt: (place) => map.latentAt(place), moveTo: (place) => map.moveTo(place) };
})();
