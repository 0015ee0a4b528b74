// Maps of several studies: the point below the pointer on one map lights up on all maps.
"use strict";

{
  const { maps: packs } = JSON.parse(document.getElementById("maps").textContent);
  const linked = document.body.dataset.linked === "true", maps = [];

  /** The point of the same image on another map. */
  const twin = (near, points) => {
    const set = points.set(near.set.name), k = points.byRow[near.set.name][near.set.rows[near.k]] ?? -1;
    return k < 0 ? null : { set, k };
  };

  function showHere({ map, box, decode, packed }, place, near, points) {
    const [canvas, told] = [box.querySelector("canvas.decoded"), box.querySelector(".told")];
    const latent = near ? points.latent(near.set, near.k, map) ?? map.latentAt(place) : map.latentAt(place);
    if (decode && !packed.units) paint(canvas, packed.shape, decode(latent));
    const words = near ? [points.id(near.set, near.k), points.name(near.set, near.k), points.className(near.set, near.k)] : [];
    told.textContent = words.filter(Boolean).join(" · ");
  }

  packs.forEach((packed, i) => {
    const box = document.querySelectorAll(".compared")[i], points = new Points(packed, null);
    const entry = { box, points, packed, decode: packed.operators && makeDecoder(packed) };
    const onMove = (place, near) => {
      for (const other of maps) {
        if (other === entry) {
          showHere(entry, place, near, points);
        } else if (linked) {
          const found = near && twin(near, other.points);
          other.map.near = found;
          if (found) {
            other.map.place = other.map.placeOfPoint(found);
            showHere(other, other.map.place, found, other.points);
          }
          other.map.soon();
        }
      }
    };
    entry.map = new LatentMap(box.querySelector(".map"), points, packed, {
      onMove,
      onPick: () => {},
      onSelect: (chosen) => {
        if (!linked) return;
        for (const other of maps) {
          if (other === entry) continue;
          other.map.selected = chosen.map((point) => twin(point, other.points)).filter(Boolean);
          other.map.soon();
        }
      },
    });
    if (entry.decode && !packed.units) {
      const backdrop = new Backdrop(packed.shape, (latents) => latents.map(entry.decode), (place) => entry.map.latentAt(place));
      entry.map.backdrop = backdrop;
      entry.map.redrawBelow();
    }
    maps.push(entry);
  });

  for (const box of document.querySelectorAll("input[data-class]")) {
    box.addEventListener("change", () => {
      for (const { map } of maps) {
        if (box.checked) map.hidden.delete(Number(box.dataset.class));
        else map.hidden.add(Number(box.dataset.class));
        map.redraw();
      }
    });
  }
  window.addEventListener("themechange", () => maps.forEach(({ map }) => map.redraw()));
  window.autodecoder = { maps };
}
