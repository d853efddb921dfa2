// Draws the curves of an experiment seed by seed, from the JSON in the page. Without script the section stays hidden.
const section = document.querySelector(".explorer"), form = section.querySelector("form");
const svg = section.querySelector("svg"), readout = section.querySelector(".readout"), hint = readout.textContent;
const data = JSON.parse(section.querySelector("script[type='application/json']").textContent);
const colors = JSON.parse(section.dataset.colors), left = 62, top_ = 14, bottom = 362;
const { quantity, group, seed, scale } = form.elements;
let points = [], width = 720;

const color = (layer) => (layer === "" ? colors.network : colors.layers[layer % colors.layers.length]);
const name = (layer) => (layer === "" ? "whole network" : `layer ${layer}`);
const shown = (value) => Number(value.toPrecision(4)).toString().replace("-", "−");

function element(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return svg.appendChild(made);
}

function fill(select, values, chosen) {
  select.replaceChildren(...values.map((value) => new Option(value, value, false, value === chosen)));
}

// About five round ticks between two numbers; powers of ten on a logarithmic scale.
function ticks(low, high, log) {
  if (log && high / low >= 10) {
    const first = Math.ceil(Math.log10(low)), count = Math.floor(Math.log10(high)) - first + 1;
    const step = Math.ceil(count / 6);
    return Array.from({ length: Math.ceil(count / step) }, (_, i) => 10 ** (first + i * step));
  }
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

function offered() {
  const before = group.value;
  fill(group, Object.keys(data[quantity.value]), before);
  const layers = Object.keys(data[quantity.value][group.value]);
  const off = new Set([...form.querySelectorAll("input[name=layer]:not(:checked)")].map((box) => box.value));
  form.querySelector(".layers").replaceChildren(...layers.map((layer) => {
    const label = document.createElement("label"), box = document.createElement("input"), mark = document.createElement("span");
    Object.assign(box, { type: "checkbox", name: "layer", value: layer, checked: !off.has(layer) });
    mark.className = "swatch";
    mark.style.background = color(layer);
    label.append(box, mark, name(layer));
    return label;
  }));
  const seeds = new Set(layers.flatMap((layer) => Object.keys(data[quantity.value][group.value][layer].seeds)));
  fill(seed, ["all", ...seeds], seed.value);
}

function draw() {
  const curves = data[quantity.value][group.value];
  const on = [...form.querySelectorAll("input[name=layer]:checked")].map((box) => box.value);
  const lines = on.flatMap((layer) => Object.entries(curves[layer].seeds).map(([of, values]) => (
    { layer, of, at: curves[layer].epochs.map((epoch, i) => [epoch, values[i]]).filter(([, value]) => value !== null) })));
  const values = lines.flatMap((line) => line.at.map(([, value]) => value));
  const log = scale.value === "log", used = log ? values.filter((value) => value > 0) : values;
  svg.replaceChildren();
  points = [];
  width = Math.min(720, Math.max(300, section.clientWidth));  // letters keep their size on a phone
  svg.setAttribute("viewBox", `0 0 ${width} 400`);
  const right = width - 12;
  if (!used.length) {
    element("text", { x: width / 2, y: 200, "text-anchor": "middle" }, values.length ? "no value is above 0" : "no layer is chosen");
    return;
  }
  const epochs = lines.flatMap((line) => line.at.map(([epoch]) => epoch));
  const reach = ([low, high]) => (low === high ? [low - 0.5, high + 0.5] : [low, high]);
  const extent = (all) => [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
  const [first, last] = reach(extent(epochs)), f = log ? Math.log : (value) => value;
  const [low, high] = log ? extent(used) : reach(extent(used)), span = f(high) - f(low) || 1;
  const x = (epoch) => left + ((right - left) * (epoch - first)) / (last - first);
  const y = (value) => bottom - ((bottom - top_) * (f(value) - f(low))) / span;
  for (const tick of ticks(low, high, log)) {
    element("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) });
    element("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, shown(tick));
  }
  for (const tick of ticks(first, last)) element("text", { x: x(tick), y: bottom + 17, "text-anchor": "middle" }, shown(tick));
  element("text", { x: right, y: bottom + 33, "text-anchor": "end" }, "epoch (simulations: saved iteration)");
  for (const { layer, of, at } of lines) {
    const drawn = at.filter(([, value]) => !log || value > 0).map(([epoch, value]) => [x(epoch), y(value), epoch, value]);
    const path = element("path", { d: drawn.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)},${b.toFixed(1)}`).join(""), stroke: color(layer), "data-seed": of });
    points.push(...drawn.map(([a, b, epoch, value]) => ({ a, b, epoch, value, layer, of, path })));
  }
  choose(seed.value === "all" ? null : seed.value);
}

function choose(of) {
  svg.classList.toggle("chosen", of !== null);
  for (const path of svg.querySelectorAll("path")) path.classList.toggle("on", path.dataset.seed === of);
  readout.textContent = of === null ? hint : `Seed ${of} is drawn dark.`;
}

svg.addEventListener("pointermove", (event) => {
  const box = svg.getBoundingClientRect(), size = width / box.width;
  const a = (event.clientX - box.left) * size, b = (event.clientY - box.top) * size;
  const near = points.reduce((best, point) => {
    const distance = Math.hypot(point.a - a, point.b - b);
    return distance < best.distance ? { distance, point } : best;
  }, { distance: 40, point: null }).point;
  if (!near) return choose(seed.value === "all" ? null : seed.value);
  choose(near.of);
  readout.textContent = `Seed ${near.of}, ${name(near.layer)}, epoch ${shown(near.epoch)}: ${shown(near.value)}`;
});
svg.addEventListener("pointerleave", () => choose(seed.value === "all" ? null : seed.value));
addEventListener("resize", draw);
form.addEventListener("change", (event) => {
  if (event.target === quantity || event.target === group) offered();
  draw();
});
fill(quantity, Object.keys(data));
offered();
section.hidden = false;
draw();
