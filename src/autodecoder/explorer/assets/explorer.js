// The explorer: the plane, the decoded image below the pointer, and images that are placed live.
"use strict";

(() => {
  const look = JSON.parse(document.getElementById("model").textContent);
  const $ = (id) => document.getElementById(id);
  const isTable = look.units !== null;
  const decodeHere = look.operators === null ? null : makeDecoder(look);
  const on = (id, event, act) => $(id)?.addEventListener(event, act);

  // --- messages, and the server ------------------------------------------------------------

  function tell(text) {
    $("message").textContent = text;
    $("message").hidden = !text;
  }

  let silent = false; // the server did not answer at the last move

  /** Asks the server; an error is shown and thrown. */
  async function ask(path, body) {
    let answer, content;
    try {
      answer = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": body instanceof Blob ? "application/octet-stream" : "application/json" },
        body: body instanceof Blob ? body : JSON.stringify(body),
      });
    } catch {
      silent ||= path === "decode";
      throw tellError("The server does not answer: is it still running?");
    }
    try {
      content = await answer.json();
    } catch {
      throw tellError(answer.status === 413 ? tooLarge : `The server answered with status ${answer.status}.`);
    }
    if (!answer.ok) throw tellError(content.error.charAt(0).toUpperCase() + content.error.slice(1));
    if (path !== "decode" || silent) tell(""); // moves ask for a decode and keep the message
    silent = false;
    return content;
  }

  function tellError(text) {
    tell(text);
    return new Error(text);
  }

  /** Wraps a handler: an error that the page shows is not thrown. */
  const quietly = (act) => async (...given) => {
    try {
      await act(...given);
    } catch (error) {
      if ($("message").hidden) throw error;
    }
  };

  /** The same for a button, which is disabled until its action ends. */
  const byButton = (id, act) =>
    on(id, "click", async () => {
      $(id).disabled = true;
      $(id).setAttribute("aria-busy", "true");
      try {
        await quietly(act)();
      } finally {
        $(id).disabled = false;
        $(id).removeAttribute("aria-busy");
      }
    });

  /** Calls `act` with the latest values, one call at a time; values in between are skipped. */
  function latest(act) {
    let next = null, busy = false;
    return async (...given) => {
      next = given;
      if (busy) return;
      busy = true;
      try {
        while (next !== null) {
          const now = next;
          next = null;
          await act(...now);
        }
      } finally {
        busy = false;
      }
    };
  }

  async function decodeAll(latents) {
    if (decodeHere) return latents.map((z) => decodeHere(z));
    const values = floats((await ask("decode", { latents: latents.map((z) => Array.from(z)) })).images);
    const n = values.length / latents.length;
    return latents.map((_, k) => values.subarray(k * n, (k + 1) * n));
  }

  // --- the latent shown --------------------------------------------------------------------

  const N_BELOW = 64; // latents per request to the server, for images behind the points
  let z = Float64Array.from(look.mean);

  const show = latest(quietly(async () => {
    await nextFrame();
    const shown = z, [values] = await decodeAll([shown]);
    $("where").textContent = latentText(shown);
    if (isTable) $("values").textContent = featureLines(values);
    else paint($("decoded"), look.shape, values);
  }));

  let moves = 0; // of the user, who interrupts a search that is shown

  function setLatent(latent, slider = null) {
    z = Float64Array.from(latent);
    panel.release();
    map.place = map.placeOf(z);
    map.near = map.nearest(map.place);
    map.follow();
    map.soon();
    panel.showNearest(map.near);
    moveSliders(slider);
    show();
    belowSoon();
  }

  function goTo(latent, slider = null) {
    stop();
    moves++;
    setLatent(latent, slider);
  }

  /** Moves within the plane; the components orthogonal to it stay. */
  function onMove(place, near) {
    stop();
    moves++;
    z = across(place);
    moveSliders();
    show();
    panel?.showNearest(near);
  }

  /** Latents that are drawn on the map, joined by a line, with or without marks; on any plane. */
  let line = { latents: [], marked: true };
  function setLine(latents, marked) {
    line = { latents, marked };
    map.way = latents.map((latent) => map.placeOf(latent));
    map.wayPoints = marked;
    map.soon();
  }

  const sheets = $("originals"), points = new Points(look, sheets && JSON.parse(sheets.textContent));
  let panel = null;
  const map = new LatentMap($("map"), points, look, {
    onMove,
    onPick: (place, near) => {
      panel.hold(near);
      return quietly(pin)();
    },
  });
  panel = new Panel(map, points, {
    shape: isTable ? null : look.shape,
    decode: isTable ? null : decodeAll,
    fileName: "map",
  });

  const belowBox = document.querySelector("input[data-below]");
  const backdrop = isTable ? null : new Backdrop(look.shape, decodeAll, across, decodeHere ? 1 : N_BELOW);
  function chooseBelow() {
    map.backdrop = belowBox?.checked ? backdrop : null;
    map.redrawBelow();
  }
  belowBox?.addEventListener("change", chooseBelow);

  /** The decoded images lie in the plane through the latent shown, and follow it. */
  const belowAnew = () => {
    backdrop?.clear();
    map.redrawBelow();
  };
  let due = 0;
  function belowSoon() {
    if (look.mean.length <= 2 || !map.backdrop) return;
    clearTimeout(due);
    due = setTimeout(belowAnew, 200);
  }

  /** The latent at a place of the plane, which is shifted through the latent shown. */
  function across(place) {
    const from = map.placeOf(z), { axes } = map.plane;
    return z.map((v, k) => v + (place[0] - from[0]) * axes[0][k] + (place[1] - from[1]) * axes[1][k]);
  }

  on("middle", "click", () => goTo(look.mean));

  // --- other planes, and sliders -----------------------------------------------------------

  let planeShown = [1, 2];
  const changePlane = latest(quietly(async () => {
    const [a, b] = [$("across"), $("up")].map((box) => box.valueAsNumber - 1), dims = look.mean.length;
    if (a === b || ![a, b].every((k) => Number.isInteger(k) && k >= 0 && k < dims)) {
      [$("across").value, $("up").value] = planeShown;
      throw tellError(`The plane needs two different whole numbers from 1 to ${dims}.`);
    }
    planeShown = [a + 1, b + 1];
    const plane = await ask("plane", { basis: $("basis").value, across: a, up: b });
    points.setPoints(plane.points);
    map.setPlane(plane);
    panel.tellMissing();
    $("axes").textContent = `Across: ${plane.axis_names[0]}. Up: ${plane.axis_names[1]}.`;
    for (const p of pins) p.cross.place = map.placeOf(p.z);
    setLine(line.latents, line.marked);
    setLatent(z);
    belowAnew();
  }));
  for (const id of ["basis", "across", "up"]) on(id, "change", changePlane);

  const sliders = [];
  if ($("sliders")) {
    look.mean.forEach((mean, k) => {
      const label = document.createElement("label"), slider = document.createElement("input");
      const value = document.createElement("output");
      slider.type = "range";
      slider.min = mean - 4 * look.spread[k];
      slider.max = mean + 4 * look.spread[k];
      slider.step = look.spread[k] / 50;
      slider.addEventListener("input", () => {
        const moved = z.slice();
        moved[k] = slider.valueAsNumber;
        goTo(moved, slider);
      });
      label.append(`${k + 1}`, slider, value);
      $("sliders").append(label);
      sliders.push({ slider, value });
    });
  }

  /** Updates all sliders but the one that the user moves. */
  function moveSliders(moved = null) {
    sliders.forEach(({ slider, value }, k) => {
      if (slider !== moved) slider.value = z[k];
      value.textContent = z[k].toFixed(2);
    });
  }

  // --- pins, and the way between two -------------------------------------------------------

  const pins = [];
  let count = 0;

  async function pin() {
    const at = z.slice(), [values] = await decodeAll([at]), number = ++count;
    const box = document.createElement("div"), go = document.createElement("button");
    const gone = document.createElement("button"), tag = document.createElement("span");
    const kept = { z: at, number, cross: { place: map.placeOf(at), colour: "#0072B2", size: 9 * map.ratio } };
    box.className = "pin";
    go.type = gone.type = "button";
    go.setAttribute("aria-label", `go to ${number}`);
    gone.setAttribute("aria-label", `remove ${number}`);
    gone.className = "gone";
    gone.textContent = "×";
    tag.className = "number";
    tag.textContent = number;
    if (isTable) {
      go.textContent = `sample ${number}`;
    } else {
      const canvas = document.createElement("canvas");
      paint(canvas, look.shape, values);
      go.append(canvas);
    }
    go.addEventListener("click", () => goTo(kept.z));
    gone.addEventListener("click", () => {
      pins.splice(pins.indexOf(kept), 1);
      map.crosses.splice(map.crosses.indexOf(kept.cross), 1);
      const focused = box.contains(document.activeElement);
      box.remove();
      if (focused) ($("pins").querySelector("button") ?? map.root).focus({ preventScroll: true });
      map.soon();
      offerPins();
    });
    box.append(go, gone, tag);
    pins.push(kept);
    map.crosses.push(kept.cross);
    $("pins").append(box);
    map.soon();
    offerPins();
  }
  byButton("keep", pin);

  /** Two selections of pins; the last two are chosen. */
  function offerPins() {
    forgetWay();
    $("between").hidden = pins.length < 2;
    $("keep-hint").hidden = pins.length > 0;
    for (const [id, chosen] of [["from", pins.length - 2], ["to", pins.length - 1]]) {
      $(id).replaceChildren(...pins.map(({ number }) => new Option(number, number)));
      $(id).selectedIndex = Math.max(0, chosen);
    }
  }

  let way = null; // latents
  let ways = 0; // number of discarded ways; an answer for one of them is dropped
  let playing = 0;

  function forgetWay() {
    stop();
    ways++;
    if (line.latents === way) setLine([], false);
    way = null;
  }

  /** Asks for the way if it is not known; returns whether it is there and still wanted. */
  async function findWay() {
    if (way !== null) {
      setLine(way, false);
      return true;
    }
    if (pins.length < 2) return false;
    const mine = ways;
    const [a, b] = ["from", "to"].map((id) => pins.find((p) => p.number === Number($(id).value)));
    const n = Number($("position").max) + 1;
    const { latents } = await ask("way", { a: Array.from(a.z), b: Array.from(b.z), n, path: $("path").value });
    if (mine !== ways) return false;
    way = latents;
    setLine(way, false);
    return true;
  }

  function showOnWay(k) {
    $("position").value = k;
    moves++;
    setLatent(way[k]);
  }

  function stop() {
    playing++;
    $("play").textContent = "Play";
  }

  on("play", "click", quietly(async () => {
    if ($("play").textContent === "Stop") return stop();
    const mine = ++playing;
    $("play").textContent = "Stop";
    try {
      if (!(await findWay()) || mine !== playing) return;
    } catch (error) {
      stop();
      throw error;
    }
    const last = way.length - 1, start = performance.now();
    while (mine === playing) {
      const t = (await nextFrame()) - start, turn = Math.max(0, t / 2500) % 2; // there and back in 5 s
      if (mine === playing) showOnWay(Math.round(last * (turn < 1 ? turn : 2 - turn)));
    }
  }));
  on("position", "input", quietly(async () => {
    stop();
    if (await findWay()) showOnWay($("position").valueAsNumber);
  }));
  for (const id of ["from", "to", "path"]) {
    on(id, "change", forgetWay);
  }

  // --- an image to be placed ---------------------------------------------------------------

  const tooLarge = `Files may have ${Math.round(look.most_bytes / 1e6)} MB at most.`;
  const easel = new Easel($("target"), look.shape, () => placeSoon());
  const placeSoon = latest(quietly(async () => {
    $("placing").setAttribute("aria-busy", "true");
    try {
      await place();
    } catch (error) {
      $("placing").removeAttribute("aria-busy");
      throw error;
    }
  }));
  let search = 0;

  async function place() {
    const mine = ++search;
    const mask = easel.seen.every((v) => v) ? null : Array.from(easel.seen);
    const start = document.querySelector("input[name=start]:checked").value;
    const values = isTable ? Array.from(easel.values) : Array.from(easel.values, Math.round);
    const found = await ask("place", { values, mask, start: start === "cross" ? Array.from(z) : null });
    const images = await decodeAll(found.way);
    const error = `mean squared error ${found.loss.toFixed(4)}${isTable ? "" : `, PSNR ${found.psnr.toFixed(1)} dB`}`;
    const over = mask === null ? "" : " over what is seen";
    $("found").textContent = `${error}${over}; ${found.steps} ${found.steps === 1 ? "step" : "steps"}${found.converged ? "" : ", not converged"}`;
    showSearch(found.way, images, mine); // meanwhile another image may be placed
  }

  /** Shows the path of a search step by step, within a second, unless another search starts. If the
   * user moves meanwhile, the whole path appears at once, and the cross stays with the user. */
  async function showSearch(latents, images, mine) {
    stop();
    const last = latents.length - 1, pause = Math.min(150, 1000 / latents.length);
    const began = performance.now(), before = moves;
    for (let k = 0; mine === search; ) {
      if (before !== moves) k = last;
      setLine(latents.slice(0, k + 1), true);
      if (isTable) $("rebuilt-values").textContent = featureLines(images[k]);
      else paint($("rebuilt"), look.shape, images[k]);
      if (before === moves) setLatent(latents[k]);
      if (k === last) return $("placing").removeAttribute("aria-busy");
      await nextFrame();
      k = Math.min(last, Math.floor((performance.now() - began) / pause));
    }
  }

  function setTarget({ values, label, name, known }, text) {
    $("placing").hidden = false;
    easel.set(values, known);
    $("target").hidden = isTable;
    const kind = label === null ? "" : `, ${look.classes[label] ?? `class ${label}`}`;
    const gaps = known === null ? "" : ", missing pixels hidden";
    $("target-text").textContent = text + (name === null ? "" : ` (${name})`) + kind + gaps;
    return placeSoon();
  }

  /** Hide what was placed before. */
  function forgetTarget() {
    targets++;
    search++;
    $("placing").hidden = true;
    $("placing").removeAttribute("aria-busy");
    $("found").textContent = "";
    if (line.marked) setLine([], false);
  }

  let targets = 0; // number of images asked for; only the last one counts

  async function openTarget(asked, text) {
    const mine = ++targets, target = await asked;
    if (mine === targets) await setTarget(target, text);
  }

  const open = quietly(async (file) => {
    if (!file) return;
    const name = file.name || "the image";
    try {
      if (file.size > look.most_bytes) throw tellError(tooLarge);
      await openTarget(ask("read", file), name);
    } catch (error) {
      if ($("message").hidden) throw error;
      forgetTarget();
      throw tellError(`${name}: ${$("message").textContent}`);
    }
  });
  if ($("file")) takeFiles($("file"), open);
  on("blank", "click", () => {
    $("placing").hidden = false;
    easel.set(easel.values.map(() => 0));
    $("target").hidden = false;
    $("target-text").textContent = "draw here";
    $("found").textContent = "";
    paint($("rebuilt"), look.shape, easel.values);
    targets++;
    search++;
    document.querySelector("input[name=tool][value=pen]").click();
    $("target").focus();
  });
  const pick = quietly(async (index) => {
    const name = $("shelf").value;
    await openTarget(ask("pick", { name, index }), `${name} ${index}`);
  });
  on("any", "click", () => pick(Math.floor(Math.random() * Number($("shelf").selectedOptions[0].dataset.n))));

  let first = 0; // number of the first image that the gallery shows
  const showGallery = latest(quietly(async () => {
    const found = await ask("gallery", { name: $("shelf").value, text: $("gallery-text").value, first });
    const { n, images, sheet } = found, end = first + images.length;
    $("gallery-count").textContent = n ? `${first + 1} to ${end} of ${n.toLocaleString("en")}` : "nothing found";
    $("gallery-back").disabled = first === 0;
    $("gallery-on").disabled = end >= n;
    const picture = new Image();
    if (sheet) {
      picture.src = `data:image/webp;base64,${sheet.sheet}`;
      await picture.decode();
    }
    $("gallery").replaceChildren(...images.map(({ index, name, label, columns }, k) => {
      const button = document.createElement("button");
      const words = [`${index}`, name, label === null ? "" : look.classes[label] ?? `class ${label}`];
      for (const [column, value] of Object.entries(columns)) words.push(`${column}: ${value}`);
      button.type = "button";
      button.title = words.filter(Boolean).join(" · ");
      button.setAttribute("aria-label", button.title);
      button.dataset.index = index;
      if (sheet) {
        const canvas = document.createElement("canvas"), [tall, wide] = sheet.size;
        [canvas.width, canvas.height] = [wide, tall];
        const [x, y] = [(k % sheet.columns) * wide, Math.floor(k / sheet.columns) * tall];
        canvas.getContext("2d").drawImage(picture, x, y, wide, tall, 0, 0, wide, tall);
        button.append(canvas);
      } else {
        button.textContent = `${index}`;
      }
      button.addEventListener("click", () => pick(index));
      return button;
    }));
  }));
  const turn = (by) => () => {
    first = Math.max(0, first + by * Math.max(1, $("gallery").childElementCount));
    return showGallery();
  };
  on("gallery-on", "click", turn(1));
  on("gallery-back", "click", turn(-1));
  const fromStart = () => {
    first = 0;
    return showGallery();
  };
  on("gallery-text", "input", fromStart);
  on("shelf", "change", fromStart);
  if ($("gallery")) showGallery();

  for (const box of document.querySelectorAll("input[name=tool]")) {
    box.addEventListener("change", () => (easel.tool = box.value));
    if (box.checked) easel.tool = box.value;
  }
  on("size", "input", () => (easel.radius = $("size").valueAsNumber));
  on("ink", "input", () => {
    easel.ink = [1, 3, 5].map((k) => parseInt($("ink").value.slice(k, k + 2), 16));
  });
  on("hide-half", "click", () => {
    easel.hideLeft();
    return placeSoon();
  });
  on("show-all", "click", () => {
    easel.showAll();
    return placeSoon();
  });
  on("again", "click", () => placeSoon());

  // --- new images --------------------------------------------------------------------------

  byButton("draw", async () => {
    const { latents } = await ask("draw", { n: 16, seed: Math.floor(Math.random() * 2 ** 32) });
    const images = await decodeAll(latents);
    $("drawn").replaceChildren(...latents.map((latent, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `drawn image ${k + 1}; press to go there`);
      if (isTable) {
        button.textContent = `${k + 1}`;
      } else {
        const canvas = document.createElement("canvas");
        paint(canvas, look.shape, images[k]);
        button.append(canvas);
      }
      button.addEventListener("click", () => goTo(latent));
      return button;
    }));
  });
  if ($("draw") && look.n_latents < 2) $("draw").disabled = true;

  // --- saving the view as a file -----------------------------------------------------------

  /** Saves a canvas as PNG, small ones enlarged to their size on the screen. */
  function save(canvas, name) {
    const scale = Math.max(1, Math.round(512 / Math.max(canvas.width, canvas.height)));
    const large = document.createElement("canvas");
    large.width = canvas.width * scale;
    large.height = canvas.height * scale;
    const context = large.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, 0, 0, large.width, large.height);
    saveCanvas(large, name);
  }
  on("save-image", "click", () => save($("decoded"), "decoded.png"));
  on("save-rebuilt", "click", () => save($("rebuilt"), "reconstruction.png"));

  chooseBelow();
  setLatent(z);
  window.explorer = { decodeAll, setLatent, latent: () => Array.from(z), map, easel, ask };
})();
