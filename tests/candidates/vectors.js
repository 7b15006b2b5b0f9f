// Runs an LSTM on test vectors: node vectors.js lstm_float64.json [module.js]
// The module, lstm.js by default, exports the function `lstm` of a run's inputs. Requires node and nothing else.
// Exit status: 0 if every vector passes, 1 if one fails.

"use strict";
const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

const [file, program] = process.argv.slice(2);
const { lstm } = require(program ? resolve(program) : "./lstm.js");
const { notes, testGroups } = JSON.parse(readFileSync(file, "utf8"));
const tests = testGroups.flatMap((group) => group.tests);

// Returns the worst error of an output, relative to the tolerance.
function ratio(got, { data, tolerance }) {
  if (got.length !== data.length) return Infinity;
  const ratios = data.map((v, n) => Math.abs(got[n] - v) / tolerance[Math.floor((n * tolerance.length) / data.length)]);
  return ratios.some(Number.isNaN) ? Infinity : Math.max(0, ...ratios);
}

// Returns whether a mistake by itself makes exactly these of the outputs that were returned wrong.
function matches(mistake, test, wrong, returned) {
  if (test.raises.includes(mistake)) return true;
  const known = test.exposes.find(({ mistakes }) => mistakes.includes(mistake)) ?? { outputs: [], borderline: [] };
  return known.outputs.every((name) => wrong.includes(name) || !returned.includes(name)) &&
    wrong.every((name) => known.outputs.includes(name) || known.borderline.includes(name));
}

let failed = 0;
let matching = [...new Set(tests.flatMap((test) => test.exposes.flatMap(({ mistakes }) => mistakes)))];
for (const test of tests) {
  const got = lstm(test.inputs);
  // Outputs that are not returned are not judged.
  const expected = Object.entries(test.expected).filter(([name]) => got[name]);
  const ratios = expected.map(([name, block]) => [name, ratio(got[name], block)]);
  const wrong = ratios.filter(([, worst]) => !(worst <= 1));
  const names = (some) => some.map(([name]) => name);
  if (!expected.length) throw new Error(`the module returns none of ${Object.keys(test.expected).join(", ")}`);
  matching = matching.filter((mistake) => matches(mistake, test, names(wrong), names(expected)));
  if (!wrong.length) continue;
  failed++;
  console.log(`vector ${test.tcId}, ${test.comment}: ${names(wrong).join(", ")} wrong`);
  console.log(`    by up to ${Math.max(...wrong.map(([, worst]) => worst)).toExponential(1)} tolerances`);
  for (const flag of test.flags) console.log(`    ${flag}: ${notes[flag].description}. ${notes[flag].effect}`);
}

console.log(`${tests.length - failed} of ${tests.length} vectors are correct.`);
if (failed) {
  console.log(`Known mistakes that match the wrong outputs:${matching.length ? "" : " none."}`);
  for (const id of matching) console.log(`    ${[`${id}: ${notes[id].description}`, ...notes[id].links].join(", ")}`);
}
process.exitCode = failed ? 1 : 0;
