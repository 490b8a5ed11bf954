// The page: reads the form, runs the others, shows what they found.

import { norm } from "./certificate.mjs";
import { exactInverse, rounded, trueErrors } from "./exact.mjs";
import { guess } from "./network.mjs";
import { parseNpy, parseText } from "./parse.mjs";
import { chart, entries, magnitudes } from "./pictures.mjs";
import { invert, scaled } from "./refine.mjs";

const MOST_PICTURES = 8;
const byId = (id) => document.getElementById(`playground-${id}`);
const short = (x) => (Number.isFinite(x) ? x.toExponential(2) : "none");

const SAMPLES = {
  random: (n) => Array.from({ length: n }, () => Array.from({ length: n }, normal)),
  hilbert: (n) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => 1 / (i + j + 1))),
  singular: () => [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
};

function normal() {
  const x = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Number(x.toFixed(4));
}

const asText = (A) => A.map((row) => row.join(", ")).join("\n");

function say(text) {
  byId("state").textContent = text;
}

function showProgress(what, done, total) {
  const unit = total > 1e6 ? ["MB", 1e6, 1] : ["KB", 1e3, 0];
  const sizes = [done, total].map((x) => (x / unit[1]).toFixed(unit[2])).join(" of ");
  say(`Loading ${what}: ${sizes} ${unit[0]}`);
  Object.assign(byId("progress"), { max: total, value: done, hidden: done === total });
}

function list(rows) {
  const element = document.createElement("dl");
  for (const [term, text] of rows) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = text;
    element.append(dt, dd);
  }
  return element;
}

function showCertificate(found) {
  const verdict = found.certified
    ? "yes: A is invertible, and this inverse is right to the bound below"
    : "no: no proof was found that this is the inverse";
  byId("certificate").replaceChildren(
    list([
      ["certified", verdict],
      ["‖A⁻¹ − X‖ is proven below", short(found.errorBound)],
      ["relative to ‖X‖", short(found.relativeBound ?? Infinity)],
      ["‖I − A X‖ of the last step is proven below", short(found.residualBound)],
    ]),
  );
}

function showExact(A, found) {
  const exact = exactInverse(A);
  if (exact === null) {
    byId("exact").textContent = "The determinant is exactly zero: this matrix is singular.";
    return;
  }
  const truth = rounded(exact);
  const error = norm(trueErrors(found.inverse, exact));
  const right = found.inverse.flat().filter((x, i) => x === truth.flat()[i]).length;
  const held = error <= found.errorBound ? "yes" : "NO";
  byId("exact").replaceChildren(
    list([
      ["true error ‖A⁻¹ − X‖", short(error)],
      ["within the proven bound", Number.isFinite(found.errorBound) ? held : "there is none"],
      ["entries that are the exact inverse, correctly rounded", `${right} of ${A.length ** 2}`],
      ["determinant", "not zero: A is invertible"],
    ]),
  );
}

function showSteps(steps) {
  const pictures = steps.length > MOST_PICTURES ? [steps[0], ...steps.slice(1 - MOST_PICTURES)] : steps;
  byId("steps").replaceChildren(
    ...pictures.map(({ label, R, size }) => magnitudes(R, `${label}: ${short(size)}`)),
  );
  byId("chart").replaceChildren(chart(steps.map(({ size }) => size)));
}

async function run(A) {
  byId("error").textContent = "";
  const { S, k } = scaled(A);
  const { name, X } = await guess(S, showProgress);
  say("Refining …");
  const start = performance.now();
  const found = invert(A, k, X, S);
  const ms = performance.now() - start;
  byId("entries").replaceChildren(entries(A, "A"), entries(X, `guess of ${name}`), entries(found.inverse, "X, refined"));
  showSteps(found.steps);
  showCertificate(found);
  showExact(A, found);
  byId("inverse").value = asText(found.inverse);
  byId("results").hidden = false;
  say(`${found.certified ? "Certified" : "Not certified"}: order ${A.length}, refined in ${ms.toFixed(0)} ms.`);
}

async function attempt(read) {
  byId("invert").disabled = true;
  try {
    await run(await read());
  } catch (error) {
    byId("results").hidden = true;
    byId("progress").hidden = true;
    say("");
    byId("error").textContent = error.message ?? String(error);
  } finally {
    byId("invert").disabled = false;
  }
}

const submit = () => attempt(() => parseText(byId("matrix").value));

function take(file) {
  return attempt(async () => {
    if (file.size > 1e6) throw new Error(`${file.name} has ${file.size} bytes: more than one matrix.`);
    const buffer = await file.arrayBuffer();
    const npy = file.name.toLowerCase().endsWith(".npy");
    const A = npy ? parseNpy(buffer) : parseText(new TextDecoder().decode(buffer));
    byId("matrix").value = asText(A);
    return A;
  });
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("matrix").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
byId("file").addEventListener("change", ({ target }) => target.files[0] && take(target.files[0]));
byId("sample").addEventListener("change", ({ target }) => {
  const [kind, n] = target.value.split("-");
  if (kind in SAMPLES) byId("matrix").value = asText(SAMPLES[kind](Number(n)));
});
byId("form").addEventListener("dragover", (event) => event.preventDefault());
byId("form").addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (file) take(file);
});
byId("invert").disabled = false;
say("Nothing is loaded yet.");
