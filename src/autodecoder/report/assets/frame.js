// Functions of every page: the light or dark theme, and saving of files that are in the page.
"use strict";

/** Save bytes or text as a file. */
function saveFile(content, name, type) {
  const link = document.createElement("a"), url = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.href = url;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function saveCanvas(canvas, name) {
  canvas.toBlob((blob) => saveFile(blob, name, "image/png"), "image/png");
}

const FILE_TYPES = { svg: "image/svg+xml", pdf: "application/pdf", csv: "text/csv", png: "image/png" };

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

{
  const button = document.getElementById("theme"), root = document.documentElement;
  const tell = () => {
    if (button) button.textContent = isDark() ? "Light" : "Dark";
    window.dispatchEvent(new Event("themechange"));
  };
  button?.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  prefersDark.addEventListener("change", tell);
  if (button) button.textContent = isDark() ? "Light" : "Dark";
}

for (const button of document.querySelectorAll("button[data-picture]")) {
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.download = `${button.dataset.picture}.png`;
    link.href = button.closest("figure").querySelector("img").src;
    link.click();
  });
}

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

// In a notebook the page has no address of its own, so its links would lead to another page.
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById(link.getAttribute("href").slice(1)).scrollIntoView();
  });
}

/** Show a message for a few seconds. */
function toast(text) {
  const box = document.createElement("p");
  box.className = "toast";
  box.setAttribute("role", "status");
  document.body.append(box);
  box.textContent = text;
  setTimeout(() => box.remove(), 6000);
}

let takesFiles = false;

// Without this, a browser would leave the page and show the file that is dropped on it.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!takesFiles && event.dataTransfer.files.length) toast("This page cannot place images.");
});

/** Files that are chosen in a field, dropped on the page or pasted go to `open`, one at a time. */
function takeFiles(field, open) {
  takesFiles = true;
  field.addEventListener("change", async () => {
    await open(field.files[0]);
    field.value = "";
  });
  document.addEventListener("dragover", () => document.body.classList.add("dropping"));
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    open(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
}
