"use strict";
// Nothing here is needed to read the page. It reads the charts' own paths: absolute M, H and V.
const number = (value, places) => String(Number(value.toFixed(places)));
const digits = (value) => (value >= 100 ? 0 : value >= 10 ? 1 : 2);
const write = {
  cores: (v) => (v < 1 ? number(v * 1000, 0) + "m" : number(v, 2)),
  bytes: (v) => {
    const gib = v >= 2 ** 30;
    const amount = v / (gib ? 2 ** 30 : 2 ** 20);
    return number(amount, digits(amount)) + (gib ? "Gi" : "Mi");
  },
};
const time = (seconds) => {
  const minutes = Math.floor(seconds / 60);
  const clock = String(Math.floor(minutes / 60) % 24).padStart(2, "0") + ":" + String(minutes % 60).padStart(2, "0");
  return "day " + (Math.floor(minutes / 1440) + 1) + ", " + clock;
};
const steps = new WeakMap();
function stepsOf(path) {
  if (!steps.has(path)) {
    const found = [];
    let x = 0;
    for (const [, command, a, b] of path.getAttribute("d").matchAll(/([MHV])(\d+)(?: (\d+))?/g)) {
      if (command === "M") { found.push([x, NaN]); x = Number(a); found.push([x, Number(b)]); }
      else if (command === "H") x = Number(a);
      else found.push([x, Number(a)]);
    }
    found.push([x, NaN]);
    steps.set(path, found);
  }
  return steps.get(path);
}
function heightAt(path, x) {
  let height = NaN;
  for (const [from, y] of stepsOf(path)) { if (from > x) break; height = y; }
  return height;
}
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector(".lines");
  const { width, height } = svg.viewBox.baseVal;
  const { unit, max, span } = chart.dataset;
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("class", "cursor");
  const says = document.createElement("output");
  chart.querySelector("figcaption").after(says);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width)) * width;
    line.setAttribute("d", "M" + x + " 0V" + height);
    if (!line.parentNode) svg.append(line);
    const words = [time((x / width) * span)];
    for (const path of [...svg.querySelectorAll(".use, .req, .lim")].reverse()) {
      const y = heightAt(path, x);
      if (Number.isNaN(y) || getComputedStyle(path).display === "none") continue;
      const name = path.dataset.arm ? path.dataset.arm + (path.classList.contains("lim") ? " limit" : "") : "usage";
      words.push(name + " " + write[unit]((1 - y / height) * max));
    }
    says.textContent = words.join(" · ");
  });
  svg.addEventListener("pointerleave", () => { line.remove(); says.textContent = ""; });
}
for (const find of document.querySelectorAll(".find")) {
  find.hidden = false;
  const courses = find.closest("section").querySelectorAll(".course");
  find.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const course of courses) course.hidden = !course.dataset.name.toLowerCase().includes(wanted);
  });
}
