// Runs an LSTM on test vectors: node vectors.js lstm_float64.json [module.js]
// The module exports the function `lstm`, of a run's inputs; that of lstm.js if none is named. Nothing is needed but node.
// Exit status: 0 if every vector is right, 1 if one is not.

"use strict";
const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

const [file, program] = process.argv.slice(2);
const { lstm } = require(program ? resolve(program) : "./lstm.js");
const { notes, testGroups } = JSON.parse(readFileSync(file, "utf8"));
const tests = testGroups.flatMap((group) => group.tests);

// The worst error of an output, in tolerances.
function ratio(got, { data, tolerance }) {
  if (got.length !== data.length) return Infinity;
  const ratios = data.map((v, n) => Math.abs(got[n] - v) / tolerance[Math.floor((n * tolerance.length) / data.length)]);
  return ratios.some(Number.isNaN) ? Infinity : Math.max(0, ...ratios);
}

// Whether a mistake alone makes just these outputs of a vector wrong, as far as the vector knows.
function explains(mistake, test, wrong) {
  if (test.stops.includes(mistake)) return true;
  const known = test.exposes.find(({ mistakes }) => mistakes.includes(mistake)) ?? { outputs: [], perhaps: [] };
  return known.outputs.every((name) => wrong.includes(name)) &&
    wrong.every((name) => known.outputs.includes(name) || known.perhaps.includes(name));
}

let failed = 0;
let fitting = [...new Set(tests.flatMap((test) => test.exposes.flatMap(({ mistakes }) => mistakes)))];
for (const test of tests) {
  const got = lstm(test.inputs);
  const ratios = Object.entries(test.expected).map(([name, expected]) => [name, ratio(got[name], expected)]);
  const wrong = ratios.filter(([, worst]) => !(worst <= 1));
  fitting = fitting.filter((mistake) => explains(mistake, test, wrong.map(([name]) => name)));
  if (!wrong.length) continue;
  failed++;
  console.log(`vector ${test.tcId}, ${test.comment}: ${wrong.map(([name]) => name).join(", ")} wrong`);
  console.log(`    by up to ${Math.max(...wrong.map(([, worst]) => worst)).toExponential(1)} tolerances`);
  for (const flag of test.flags) console.log(`    ${flag}: ${notes[flag].description}. ${notes[flag].effect}`);
}

console.log(`${tests.length - failed} of ${tests.length} vectors are right.`);
if (failed) {
  console.log(`Mistakes that make just these outputs wrong:${fitting.length ? "" : " none of those in the notes."}`);
  for (const id of fitting) console.log(`    ${[`${id}: ${notes[id].description}`, ...notes[id].links].join(", ")}`);
}
process.exitCode = failed ? 1 : 0;
