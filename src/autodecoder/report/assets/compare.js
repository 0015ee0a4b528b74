// Maps of several studies: the point below the pointer on one map lights up on all maps.
"use strict";

{
  const { maps: packs } = JSON.parse(document.getElementById("maps").textContent);
  const linked = document.body.dataset.linked === "true", entries = [];
  let panel = null;

  /** The point of the same image on another map. */
  const twin = (near, points) => {
    const set = points.set(near.set.name), k = points.byRow[near.set.name][near.set.rows[near.k]] ?? -1;
    return k < 0 ? null : { set, k };
  };

  /** Show what is at a place of a map; nothing without a place. */
  function showHere({ map, points, box, decodeOne }, place, near) {
    const [canvas, told] = [box.querySelector("canvas.decoded"), box.querySelector(".told")];
    const latent = (near && points.latent(near.set, near.k, map)) ?? (place && map.latentAt(place));
    if (decodeOne && latent) paint(canvas, points.packed.shape, decodeOne(latent));
    else canvas.width = canvas.height = 1;
    told.textContent = near ? points.line(near) : "";
  }

  /** Show the same image on the other maps, or that it is not there. */
  function follow(entry, near) {
    for (const other of linked ? entries : []) {
      if (other === entry) continue;
      const found = near && twin(near, other.points), at = found && other.map.placeOfPoint(found);
      other.map.near = found;
      if (found) other.map.place = at;
      showHere(other, at, found);
      if (near && !found) other.box.querySelector(".told").textContent = `${entry.points.line(near)}: not on this map`;
      other.map.soon();
    }
  }

  /** Show the selection of a map; the other maps mark the same images. */
  function select(entry, chosen) {
    for (const other of entries) {
      if (other === entry) continue;
      other.map.selected = linked ? chosen.map((point) => twin(point, other.points)).filter(Boolean) : [];
      other.map.soon();
    }
    panel.use(entry);
    panel.showSelection(chosen);
  }

  packs.forEach((packed, i) => {
    const box = document.querySelectorAll(".compared")[i], points = new Points(packed, null);
    const decodeOne = packed.operators && !packed.units ? makeDecoder(packed) : null;
    const decode = decodeOne && ((latents) => latents.map(decodeOne));
    const entry = { box, points, shape: packed.shape, decodeOne, decode, title: box.querySelector("h2").textContent };
    entry.map = new LatentMap(box.querySelector(".map"), points, packed, {
      onMove: (place, near) => {
        showHere(entry, place, near);
        follow(entry, near);
      },
      onPick: (place, near) => near && entry.map.setSelected([near]),
      onSelect: (chosen) => select(entry, chosen),
    });
    if (decode) {
      entry.map.backdrop = new Backdrop(packed.shape, decode, (place) => entry.map.latentAt(place));
      entry.map.redrawBelow();
    }
    entries.push(entry);
  });

  const [{ map, points, shape, decode }] = entries, maps = entries.map((entry) => entry.map);
  const sources = linked ? [{ map, points }] : entries;
  panel = new Panel(map, points, { shape, decode, fileName: "maps", maps, sources });
  window.autodecoder = { maps: entries };
}
