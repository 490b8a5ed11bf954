// onnxruntime-web and the bundled networks, loaded when they are first needed, with progress.

const HERE = new URL(".", import.meta.url);
const RUNTIME = new URL("../ort/", HERE);
const MODELS = new URL("../models/", HERE);

const sessions = new Map();
let runtime;

/** The bytes of a file of this site; `report(done, total)` as they come. */
async function download(url, report) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} did not load: status ${response.status}.`);
  const total = Number(response.headers.get("Content-Length")) || 0;
  const chunks = [];
  let done = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done: end, value } = await reader.read();
    if (end) break;
    chunks.push(value);
    done += value.length;
    report(done, Math.max(total, done));
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

async function loadRuntime(report) {
  const ort = await import(new URL("ort.wasm.min.mjs", RUNTIME).href);
  ort.env.wasm.numThreads = 1; // more need a page that is cross-origin isolated
  ort.env.wasm.wasmPaths = RUNTIME.href;
  const binary = await download(new URL("ort-wasm-simd-threaded.wasm", RUNTIME), report);
  ort.env.wasm.wasmBinary = binary.buffer;
  return ort;
}

/** The network for matrices of order n. */
export const nameFor = (n) => (n <= 8 ? `feedback-${Math.max(n, 2)}` : "spectral");

/** The network's guess for one matrix (rows of float64), and the network's name. */
export async function guess(A, report) {
  const n = A.length;
  const name = nameFor(n);
  runtime ??= loadRuntime((done, total) => report("onnxruntime-web", done, total));
  runtime.catch(() => (runtime = undefined)); // so that another attempt loads it again
  const ort = await runtime;
  if (!sessions.has(name)) {
    const graph = await download(new URL(`${name}.onnx`, MODELS), (done, total) =>
      report(name, done, total),
    );
    sessions.set(name, await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }));
  }
  const m = Math.max(n, 2); // an order of 1 is padded with the identity
  const data = Float32Array.from({ length: m * m }, (_, i) => {
    const [row, column] = [Math.floor(i / m), i % m];
    return row < n && column < n ? A[row][column] : Number(row === column);
  });
  const { X } = await sessions.get(name).run({ A: new ort.Tensor("float32", data, [1, m, m]) });
  return { name, X: A.map((row, i) => row.map((_, j) => X.data[m * i + j])) };
}
