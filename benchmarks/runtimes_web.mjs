// onnxruntime-web in Node and in a browser: the same measurement for both.
//
// In Node: node runtimes_web.mjs FOLDER, with onnxruntime-web installed in the working directory.
// In a browser: runtimes_web.html, served with FOLDER's files beside it.

const SECONDS = 0.5;

async function microseconds(session, feeds, count) {
  for (let i = 0; i < 3; i++) await session.run(feeds);
  const times = [];
  const end = performance.now() + 1000 * SECONDS;
  while (performance.now() < end || times.length < 5) {
    const start = performance.now();
    await session.run(feeds);
    times.push(performance.now() - start);
  }
  return (Math.min(...times) / count) * 1000;
}

// `read` gives a file's bytes as an ArrayBuffer; `write` takes a name and a Float32Array.
export async function examine(ort, files, read, write) {
  // One thread, as for all the runtimes: more need a page that is cross-origin isolated.
  ort.env.wasm.numThreads = 1;
  const found = { version: ort.env.versions.web, files: {} };
  for (const name of files) {
    // A file's name starts with the order, or with rows and columns.
    const [, rows, columns = rows] = name.match(/^(\d+)(?:x(\d+))?-/);
    const row = { converts: false, runs: false };
    found.files[name] = row;
    const A = new Float32Array(await read(`${name}.bin`));
    const count = A.length / (rows * columns);
    const feeds = { A: new ort.Tensor("float32", A, [count, Number(rows), Number(columns)]) };
    const options = { executionProviders: ["wasm"] };
    try {
      const session = await ort.InferenceSession.create(await read(`${name}.onnx`), options);
      row.converts = true;
      await write(name, (await session.run(feeds))[session.outputNames[0]].data);
      row.runs = true;
      row.us = await microseconds(session, feeds, count);
    } catch (error) {
      row.reason = String(error).slice(0, 160);
      continue;
    }
    try {
      const native = await ort.InferenceSession.create(await read(`native-${name}.onnx`), options);
      row.native_us = await microseconds(native, feeds, count);
    } catch (error) {
      row.native_reason = String(error).slice(0, 160);
    }
  }
  return found;
}

if (typeof process !== "undefined" && process.versions?.node) {
  const { readFile, writeFile } = await import("node:fs/promises");
  const { createRequire } = await import("node:module");
  const { pathToFileURL } = await import("node:url");
  // From the working directory, not from beside this file: nothing is installed here.
  const from = createRequire(`${process.cwd()}/package.json`);
  const ort = await import(pathToFileURL(from.resolve("onnxruntime-web")));
  const folder = process.argv[2];
  const read = async (name) => {
    const bytes = await readFile(`${folder}/${name}`);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  };
  const write = (name, X) =>
    writeFile(`${folder}/node-${name}.bin`, new Uint8Array(X.buffer, X.byteOffset, X.byteLength));
  const found = await examine(ort.default ?? ort, process.argv.slice(3), read, write);
  await writeFile(`${folder}/node.json`, JSON.stringify(found, null, 1));
}
