// Matrices as pictures: entries by sign and size, residuals by their order of magnitude.

function paint(M, colour, label) {
  const n = M.length;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = n;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  const image = context.createImageData(n, n);
  M.flat().forEach((x, i) => image.data.set([...colour(x), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

function figure(canvas, caption) {
  const element = document.createElement("figure");
  const text = document.createElement("figcaption");
  text.textContent = caption;
  element.append(canvas, text);
  return element;
}

/** Blue below zero, red above, white at zero. */
export function entries(M, caption) {
  const largest = Math.max(...M.flat().map(Math.abs)) || 1;
  const colour = (x) => {
    const rest = Math.round(255 * (1 - Math.abs(x) / largest));
    return x < 0 ? [rest, rest, 255] : [255, rest, rest];
  };
  return figure(paint(M, colour, caption), caption);
}

/** From black at 1e-17 through purple to yellow at 1. */
export function magnitudes(M, caption) {
  const colour = (x) => {
    const t = Math.min(1, Math.max(0, 1 + Math.log10(Math.abs(x) || 1e-300) / 17));
    return [255 * Math.min(1, 1.6 * t), 230 * Math.max(0, t - 0.45) * 1.8, 255 * t * (1.1 - t) * 2.2];
  };
  return figure(paint(M, (x) => colour(x).map(Math.round), caption), caption);
}

const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

/** ‖I - A X‖ against the step, on a logarithmic axis. */
export function chart(sizes) {
  const [width, height, left, bottom] = [420, 190, 62, 28];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  const said = sizes.map((s) => s.toExponential(0)).join(", ");
  svg.setAttribute("aria-label", `Residual after each step: ${said}`);
  const x = (k) => left + ((width - left - 14) * k) / Math.max(1, sizes.length - 1);
  const log = (s) => Math.min(4, Math.max(-18, Math.log10(s || 1e-18)));
  const top = Math.ceil(Math.max(0, ...sizes.map(log)));
  const y = (s) => 10 + ((height - bottom - 10) * (top - log(s))) / (top + 18);
  for (let e = 0; e >= -18; e -= 6) {
    draw(svg, "line", { x1: left, x2: width, y1: y(10 ** e), y2: y(10 ** e), class: "grid" });
    draw(svg, "text", { x: left - 6, y: y(10 ** e) + 4, "text-anchor": "end" }, e ? `1e${e}` : "1");
  }
  draw(svg, "polyline", { points: sizes.map((s, k) => `${x(k)},${y(s)}`).join(" ") });
  sizes.forEach((s, k) => draw(svg, "circle", { cx: x(k), cy: y(s), r: sizes.length > 30 ? 2 : 4 }));
  const middle = (left + width) / 2;
  draw(svg, "text", { x: middle, y: height - 6, "text-anchor": "middle" }, "step");
  const along = { transform: `rotate(-90) translate(${-(height - bottom + 10) / 2} 12)` };
  draw(svg, "text", { ...along, "text-anchor": "middle" }, "‖I − A X‖F");
  return svg;
}
