// The map as a figure of vectors, in SVG or PDF: what is seen, without a title.
"use strict";

const INK = "#1b1b1f", RULE = "#9a9aa4";
const MARGIN = { left: 52, right: 14, top: 12, bottom: 40 };
const KEY = 110; // width of the names of classes

/** Lines, texts and dots of the part of the map that is seen, from the top left, in points. */
function mapFigure(map, points) {
  const { width: wide, height: tall } = map.overCanvas, [left, right, bottom, top] = map.view;
  const width = 480, height = (width * tall) / wide, lines = [], texts = [], dots = new Map();
  const at = ([a, b]) => [MARGIN.left + ((a - left) / (right - left)) * width, MARGIN.top + ((top - b) / (top - bottom)) * height];
  const low = MARGIN.top + height, [across, up] = map.plane.axis_names;
  for (const v of axisTicks(left, right, 6)) {
    const [x] = at([v, 0]);
    lines.push([x, low, x, low + 4]);
    texts.push({ x, y: low + 14, text: axisText(v), anchor: "middle" });
  }
  for (const v of up ? axisTicks(bottom, top, 6) : []) {
    const [, y] = at([0, v]);
    lines.push([MARGIN.left - 4, y, MARGIN.left, y]);
    texts.push({ x: MARGIN.left - 6, y: y + 3, text: axisText(v), anchor: "end" });
  }
  lines.push([MARGIN.left, MARGIN.top, MARGIN.left, low], [MARGIN.left, low, MARGIN.left + width, low]);
  texts.push({ x: MARGIN.left + width / 2, y: low + 30, text: across, anchor: "middle" });
  texts.push({ x: 12, y: MARGIN.top + height / 2, text: up, anchor: "middle", upright: true });
  const seen = map.inView(Infinity).some, size = Math.min(4, Math.max(0.9, Math.sqrt((0.08 * width * height) / (seen.length + 1))));
  for (const { set, k } of seen) {
    const colour = points.hexOf(set, k);
    if (!dots.has(colour)) dots.set(colour, []);
    dots.get(colour).push(at([set.x[k], set.y[k]]));
  }
  const names = points.packed.classes.filter((_, k) => !map.hidden.has(k));
  const shown = names.length <= 20 ? points.packed.classes.map((name, k) => [name, k]).filter(([, k]) => !map.hidden.has(k)) : [];
  const key = shown.map(([text, k], i) => ({ x: MARGIN.left + width + 16, y: MARGIN.top + 10 + 14 * i, text, colour: points.packed.colours[k % points.packed.colours.length] }));
  return {
    width: MARGIN.left + width + MARGIN.right + (key.length ? KEY : 0),
    height: low + MARGIN.bottom,
    lines, texts, dots, size, key,
  };
}

function figureSvg({ width, height, lines, texts, dots, size, key }) {
  const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "�");
  const n = (v) => Number(v.toFixed(2)), parts = [];
  for (const [colour, places] of dots) {
    const path = places.map(([x, y]) => `M${n(x)} ${n(y)}h0`).join("");
    parts.push(`<path d="${path}" stroke="${colour}" stroke-width="${n(size)}" stroke-linecap="round" stroke-opacity="0.7" fill="none"/>`);
  }
  for (const [a, b, c, d] of lines) parts.push(`<path d="M${n(a)} ${n(b)}L${n(c)} ${n(d)}" stroke="${RULE}" stroke-width="0.8"/>`);
  for (const { x, y, text, anchor, upright } of texts) {
    const turn = upright ? ` transform="rotate(-90 ${n(x)} ${n(y)})"` : "";
    parts.push(`<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}"${turn}>${escape(text)}</text>`);
  }
  for (const { x, y, text, colour } of key) {
    parts.push(`<circle cx="${n(x)}" cy="${n(y - 3.2)}" r="3.5" fill="${colour}"/><text x="${n(x + 8)}" y="${n(y)}">${escape(text)}</text>`);
  }
  const size_ = `width="${n(width)}pt" height="${n(height)}pt" viewBox="0 0 ${n(width)} ${n(height)}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" ${size_} font-family="Helvetica, Arial, sans-serif" font-size="9" fill="${INK}">${parts.join("\n")}</svg>\n`;
}

const PDF_DETAIL = 4; // pixels per point of a text that is drawn as an image
const PLAIN = /^[\x20-\x7e\xa0-\xff]*$/; // the letters of the font of a PDF, those of Western Europe

/** A text at 9 points as an image on white: grey values, and the size in points. */
function textImage(text) {
  const canvas = document.createElement("canvas"), font = `${9 * PDF_DETAIL}px Helvetica, Arial, sans-serif`;
  const context = canvas.getContext("2d");
  context.font = font;
  const width = Math.max(1, Math.min(4000, Math.ceil(context.measureText(text).width))), height = 13 * PDF_DETAIL;
  [canvas.width, canvas.height] = [width, height];
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.fillStyle = INK;
  context.font = font;
  context.textBaseline = "alphabetic";
  context.fillText(text, 0, 10 * PDF_DETAIL);
  const { data } = context.getImageData(0, 0, width, height);
  let grey = "";
  for (let p = 0; p < width * height; p++) grey += String.fromCharCode(data[4 * p]);
  return { grey, width, height };
}

/** The same as the bytes of a PDF. Texts with letters that its font lacks are drawn as images. */
function figurePdf({ width, height, lines, texts, dots, size, key }) {
  const n = (v) => Number(v.toFixed(2)), rgb = (hex) => [1, 3, 5].map((i) => n(parseInt(hex.slice(i, i + 2), 16) / 255)).join(" ");
  const latin = (text) => text.replaceAll("−", "-");
  const quoted = (text) => latin(text).replace(/[\\()]/g, "\\$&");
  const wideness = (text) => 4.7 * latin(text).length; // about, at 9 points
  const out = [], images = [];
  for (const [colour, places] of dots) {
    out.push(`${rgb(colour)} RG ${n(size)} w 1 J /G gs`);
    for (const [x, y] of places) out.push(`${n(x)} ${n(height - y)} m ${n(x)} ${n(height - y)} l S`);
  }
  out.push(`/N gs 0 J ${rgb(RULE)} RG 0.8 w`);
  for (const [a, b, c, d] of lines) out.push(`${n(a)} ${n(height - b)} m ${n(c)} ${n(height - d)} l S`);
  const write = (x, y, text, upright) => {
    if (PLAIN.test(latin(text))) return out.push(`BT ${upright ? "0 1 -1 0" : "1 0 0 1"} ${n(x)} ${n(height - y)} Tm /F 9 Tf ${rgb(INK)} rg (${quoted(text)}) Tj ET`);
    const { width: wide, height: tall } = images[images.push(textImage(text)) - 1];
    out.push(`q ${n(wide / PDF_DETAIL)} 0 0 ${n(tall / PDF_DETAIL)} ${n(x)} ${n(height - y - 3)} cm /I${images.length} Do Q`);
  };
  for (const { x, y, text, anchor, upright } of texts) {
    const back = { middle: wideness(text) / 2, end: wideness(text) }[anchor] ?? 0;
    write(upright ? x : x - back, upright ? y + back : y, text, upright);
  }
  for (const { x, y, text, colour } of key) {
    out.push(`${rgb(colour)} RG 7 w 1 J ${n(x)} ${n(height - y + 3.2)} m ${n(x)} ${n(height - y + 3.2)} l S`);
    write(x + 8, y, text, false);
  }
  const content = out.join("\n"), states = "/G << /CA 0.7 >> /N << /CA 1 >>";
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${n(width)} ${n(height)}] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> /ExtGState << ${states} >> /XObject << ${images.map((_, i) => `/I${i + 1} ${i + 6} 0 R`).join(" ")} >> >> >>`,
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ...images.map(({ grey, width: wide, height: tall }) =>
      `<< /Type /XObject /Subtype /Image /Width ${wide} /Height ${tall} /ColorSpace /DeviceGray /BitsPerComponent 8 /Length ${grey.length} >>\nstream\n${grey}\nendstream`),
  ];
  let file = "%PDF-1.4\n";
  const starts = objects.map((object, i) => {
    const start = file.length;
    file += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return start;
  });
  const table = file.length, entries = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("");
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${entries}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`;
  return Uint8Array.from(file, (c) => c.charCodeAt(0));
}
