// An LSTM in JavaScript. `node lstm.js FROM TO`, judged as `exec:node lstm.js`, reads a run from one folder and writes
// its outputs into another; `require("./lstm.js")` gives the function.

"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const GATES = ["f", "i", "g", "o"];
const WEIGHTS = ["W", "U", "b"].flatMap((kind) => GATES.map((k) => `${kind}_${k}`));
const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// The outputs of a run; an array is { shape, data }, its entries in C order.
function lstm(run) {
  const [T, B, D] = run.x.shape, H = run.h0.shape[1], BH = B * H;
  const W = {}, U = {}, b = {}, dW = {}, dU = {}, db = {};
  for (const k of GATES) {
    [W[k], U[k], b[k]] = ["W", "U", "b"].map((kind) => run[`${kind}_${k}`].data);
    [dW[k], dU[k], db[k]] = [W[k], U[k], b[k]].map((values) => new Float64Array(values.length));
  }
  const x = run.x.data;

  // Forward. h and C hold the state before every step and after the last.
  const h = new Float64Array((T + 1) * BH), C = new Float64Array((T + 1) * BH);
  const gates = Object.fromEntries(GATES.map((k) => [k, new Float64Array(T * BH)]));
  h.set(run.h0.data);
  C.set(run.C0.data);
  for (let t = 0; t < T; t++)
    for (let r = 0; r < B; r++)
      for (let j = 0; j < H; j++) {
        const at = t * BH + r * H + j;
        for (const k of GATES) {
          let z = b[k][j];
          for (let m = 0; m < H; m++) z += h[t * BH + r * H + m] * W[k][m * H + j];
          for (let m = 0; m < D; m++) z += x[(t * B + r) * D + m] * U[k][m * H + j];
          gates[k][at] = k === "g" ? Math.tanh(z) : sigmoid(z);
        }
        C[at + BH] = gates.f[at] * C[at] + gates.i[at] * gates.g[at];
        h[at + BH] = gates.o[at] * Math.tanh(C[at + BH]);
      }

  // Backward; dh and dC are what arrives from the step after.
  const dx = new Float64Array(T * B * D);
  let dh = Float64Array.from(run.dh_T.data), dC = Float64Array.from(run.dC_T.data);
  for (let t = T - 1; t >= 0; t--) {
    const before = new Float64Array(BH);
    for (let r = 0; r < B; r++)
      for (let j = 0; j < H; j++) {
        const n = r * H + j, at = t * BH + n;
        const f = gates.f[at], i = gates.i[at], g = gates.g[at], o = gates.o[at], tanhC = Math.tanh(C[at + BH]);
        const dhn = dh[n] + run.dh.data[at];
        const dCn = dC[n] + dhn * o * (1 - tanhC * tanhC);
        const dz = { f: dCn * C[at] * f * (1 - f), i: dCn * g * i * (1 - i), g: dCn * i * (1 - g * g), o: dhn * tanhC * o * (1 - o) };
        dC[n] = dCn * f;
        for (const k of GATES) {
          db[k][j] += dz[k];
          for (let m = 0; m < H; m++) {
            dW[k][m * H + j] += h[t * BH + r * H + m] * dz[k];
            before[r * H + m] += W[k][m * H + j] * dz[k];
          }
          for (let m = 0; m < D; m++) {
            dU[k][m * H + j] += x[(t * B + r) * D + m] * dz[k];
            dx[(t * B + r) * D + m] += U[k][m * H + j] * dz[k];
          }
        }
      }
    dh = before;
  }

  const found = { h: h.subarray(BH), C: C.subarray(BH), C_T: C.subarray(T * BH), dx, dh0: dh, dC0: dC };
  for (const k of GATES) Object.assign(found, { [`dW_${k}`]: dW[k], [`dU_${k}`]: dU[k], [`db_${k}`]: db[k] });
  return found;
}

// A .npy file of version 1.0: magic (6 bytes), version (2), length of the header (2), header, values in C order.
function load(path) {
  const bytes = readFileSync(path);
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((s) => s.trim()).map(Number);
  const Floats = header.includes("<f4") ? Float32Array : Float64Array;
  const values = new Floats(new Uint8Array(bytes.subarray(start)).buffer);
  return { shape, Floats, data: Float64Array.from(values) };
}

function save(path, like, data) {
  const width = like.Floats.BYTES_PER_ELEMENT;
  const text = `{'descr': '<f${width}', 'fortran_order': False, 'shape': (${like.shape.map((n) => n + ",").join("")})}`;
  const head = Buffer.alloc(128, " ");
  head.write("\x93NUMPY\x01\x00", "latin1");
  head.writeUInt16LE(118, 8);
  head.write(text + " ".repeat(117 - text.length) + "\n", 10, "latin1");
  const values = like.Floats.from(data);
  writeFileSync(path, Buffer.concat([head, Buffer.from(values.buffer)]));
}

module.exports = { lstm };

if (require.main === module) {
  const [from, to] = process.argv.slice(2);
  const names = [...WEIGHTS, "x", "h0", "C0", "dh", "dh_T", "dC_T"];
  const run = Object.fromEntries(names.map((name) => [name, load(join(from, `${name}.npy`))]));
  const like = { h: "dh", C: "dh", C_T: "C0" }; // the others are gradients, each of the input that its name ends in
  for (const [name, data] of Object.entries(lstm(run))) save(join(to, `${name}.npy`), run[like[name] ?? name.slice(1)], data);
}
