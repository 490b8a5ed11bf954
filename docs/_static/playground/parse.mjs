// A matrix from what people type, paste or drop: rows of text, or NumPy's .npy.

export const LARGEST = 32;

function checked(rows) {
  const n = rows.length;
  if (n === 0) throw new Error("There is no matrix: type rows of numbers, one row a line.");
  rows.forEach((row, i) => {
    if (row.length !== n) {
      const [r, c] = [n === 1 ? "row" : "rows", row.length === 1 ? "number" : "numbers"];
      throw new Error(`Not square: ${n} ${r}, and row ${i + 1} has ${row.length} ${c}.`);
    }
  });
  if (n > LARGEST) throw new Error(`Order ${n}: this page stops at ${LARGEST}. Python does not.`);
  return rows;
}

function toFloat(word, line, comma) {
  const x = Number(comma ? word.replace(",", ".") : word);
  if (word !== "" && Number.isFinite(x)) return x;
  throw new Error(`Line ${line}: “${word.slice(0, 30)}” is no finite number.`);
}

/** Rows of numbers between semicolons, tabs, spaces or commas; `END` ends the first matrix. */
export function parseText(text) {
  const rows = [];
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  const comma = /[;\t]|\d,\d+ +-?\d/.test(text) && /\d,\d/.test(text) && !text.includes(".");
  const between = comma ? /\s*;\s*|\s+/ : /\s*[,;]\s*|\s+/;
  for (const [i, whole] of lines.entries()) {
    const line = whole.replace(/#.*/, "").replace(/[[\]]/g, " ").trim().replace(/[,;]$/, "");
    if (/^END$/i.test(line) && rows.length) break;
    if (line) rows.push(line.split(between).map((word) => toFloat(word, i + 1, comma)));
  }
  return checked(rows);
}

const TYPES = {
  f8: [8, "getFloat64"],
  f4: [4, "getFloat32"],
  i8: [8, "getBigInt64"],
  i4: [4, "getInt32"],
  i2: [2, "getInt16"],
};

/** A .npy file; of a stack its first matrix. */
export function parseNpy(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || view.getUint32(0) !== 0x934e554d) {
    throw new Error("Not a .npy file: it does not begin with NumPy’s mark.");
  }
  const long = view.getUint8(6) > 1;
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer).slice(start, start + length));
  const [, order, kind] = /'descr': *'([<>|=])(\w+)'/.exec(header) ?? [];
  const shape = (/'shape': *\(([\d, ]*)\)/.exec(header)?.[1] ?? "").split(",").filter((s) => s.trim());
  const [m, n] = shape.slice(-2).map(Number);
  if (!TYPES[kind]) throw new Error(`This page reads float64, float32 and integers, not “${kind}”.`);
  if (shape.length < 2 || shape.length > 3) throw new Error(`The shape (${shape}) is no matrix’s.`);
  const fortran = /'fortran_order': *True/.test(header);
  if (fortran && shape.length === 3) throw new Error("A stack in Fortran’s order: save it in C’s.");
  const [bytes, get] = TYPES[kind];
  if (start + length + m * n * bytes > buffer.byteLength) throw new Error("The file is cut short.");
  const at = (i, j) => start + length + bytes * (fortran ? j * m + i : i * n + j);
  const rows = Array.from({ length: Math.min(m, LARGEST + 1) }, (_, i) =>
    Array.from({ length: Math.min(n, LARGEST + 1) }, (_, j) =>
      Number(view[get](at(i, j), order !== ">")),
    ),
  );
  if (!rows.flat().every(Number.isFinite)) throw new Error("The matrix has NaN or infinity.");
  return checked(rows);
}
