// An LSTM in JavaScript, to be judged as `exec:node lstm.js`: reads a run from one folder, writes its outputs into another.

"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const [from, to] = process.argv.slice(2);
const GATES = ["f", "i", "g", "o"];
const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// A .npy file of version 1.0: magic (6 bytes), version (2), length of the header (2), header, values in C order.
function load(name) {
  const bytes = readFileSync(join(from, `${name}.npy`));
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((s) => s.trim()).map(Number);
  const Floats = header.includes("<f4") ? Float32Array : Float64Array;
  const values = new Floats(new Uint8Array(bytes.subarray(start)).buffer);
  return { shape, Floats, v: Float64Array.from(values) };
}

function save(name, like, v) {
  const width = like.Floats.BYTES_PER_ELEMENT;
  const text = `{'descr': '<f${width}', 'fortran_order': False, 'shape': (${like.shape.map((n) => n + ",").join("")})}`;
  const head = Buffer.alloc(128, " ");
  head.write("\x93NUMPY\x01\x00", "latin1");
  head.writeUInt16LE(118, 8);
  head.write(text + " ".repeat(117 - text.length) + "\n", 10, "latin1");
  const values = like.Floats.from(v);
  writeFileSync(join(to, `${name}.npy`), Buffer.concat([head, Buffer.from(values.buffer)]));
}

const W = {}, U = {}, b = {}, dW = {}, dU = {}, db = {};
for (const k of GATES) {
  [W[k], U[k], b[k]] = ["W", "U", "b"].map((kind) => load(`${kind}_${k}`));
  [dW[k], dU[k], db[k]] = [W[k], U[k], b[k]].map((array) => new Float64Array(array.v.length));
}
const x = load("x"), h0 = load("h0"), C0 = load("C0"), dhAll = load("dh"), dhT = load("dh_T"), dCT = load("dC_T");
const [T, B, D] = x.shape, H = h0.shape[1], BH = B * H;

// Forward. h and C hold the state before every step and after the last.
const h = new Float64Array((T + 1) * BH), C = new Float64Array((T + 1) * BH);
const gates = Object.fromEntries(GATES.map((k) => [k, new Float64Array(T * BH)]));
h.set(h0.v);
C.set(C0.v);
for (let t = 0; t < T; t++)
  for (let r = 0; r < B; r++)
    for (let j = 0; j < H; j++) {
      const at = t * BH + r * H + j;
      for (const k of GATES) {
        let z = b[k].v[j];
        for (let m = 0; m < H; m++) z += h[t * BH + r * H + m] * W[k].v[m * H + j];
        for (let m = 0; m < D; m++) z += x.v[(t * B + r) * D + m] * U[k].v[m * H + j];
        gates[k][at] = k === "g" ? Math.tanh(z) : sigmoid(z);
      }
      C[at + BH] = gates.f[at] * C[at] + gates.i[at] * gates.g[at];
      h[at + BH] = gates.o[at] * Math.tanh(C[at + BH]);
    }

// Backward; dh and dC are what arrives from the step after.
const dx = new Float64Array(T * B * D);
let dh = Float64Array.from(dhT.v), dC = Float64Array.from(dCT.v);
for (let t = T - 1; t >= 0; t--) {
  const before = new Float64Array(BH);
  for (let r = 0; r < B; r++)
    for (let j = 0; j < H; j++) {
      const n = r * H + j, at = t * BH + n;
      const f = gates.f[at], i = gates.i[at], g = gates.g[at], o = gates.o[at], tanhC = Math.tanh(C[at + BH]);
      const dhn = dh[n] + dhAll.v[at];
      const dCn = dC[n] + dhn * o * (1 - tanhC * tanhC);
      const dz = { f: dCn * C[at] * f * (1 - f), i: dCn * g * i * (1 - i), g: dCn * i * (1 - g * g), o: dhn * tanhC * o * (1 - o) };
      dC[n] = dCn * f;
      for (const k of GATES) {
        db[k][j] += dz[k];
        for (let m = 0; m < H; m++) {
          dW[k][m * H + j] += h[t * BH + r * H + m] * dz[k];
          before[r * H + m] += W[k].v[m * H + j] * dz[k];
        }
        for (let m = 0; m < D; m++) {
          dU[k][m * H + j] += x.v[(t * B + r) * D + m] * dz[k];
          dx[(t * B + r) * D + m] += U[k].v[m * H + j] * dz[k];
        }
      }
    }
  dh = before;
}

save("h", dhAll, h.subarray(BH));
save("C", dhAll, C.subarray(BH));
save("C_T", C0, C.subarray(T * BH));
for (const k of GATES) {
  save(`dW_${k}`, W[k], dW[k]);
  save(`dU_${k}`, U[k], dU[k]);
  save(`db_${k}`, b[k], db[k]);
}
save("dx", x, dx);
save("dh0", h0, dh);
save("dC0", C0, dC);
