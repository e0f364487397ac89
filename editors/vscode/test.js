// node test.js: what is drawn, and that the manifest and the code name the same commands.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { checkout, innermost, item: items, knows, rows } = require('./view');

const quiet = { runs: [], decisions: [], connected: true };
const run = { request_id: 'R-2', description: 'tidy\nup', percent: 40, message: 'step 1/2: fmt' };
const item = (/** @type {import('./view').Status} */ status) => items([{ name: 'a', status }]);
const decision = {
  decision_id: 'D-7',
  question: 'May it?',
  detail: 'why',
  options: [],
  criticality: 0.9,
  context: { request_id: 'R-2' },
};

assert.deepStrictEqual(item(quiet), {
  text: '$(circuit-board) Orchestrator',
  tooltip: 'Orchestrator: nothing is under way',
  waiting: false,
  open: 0,
});
assert.strictEqual(items([]).text, '$(circuit-board) Orchestrator');
assert.strictEqual(item({ ...quiet, runs: [run] }).text, '$(sync~spin) R-2 40%');
const waiting = item({ ...quiet, runs: [run], decisions: [decision] });
assert.deepStrictEqual([waiting.text, waiting.waiting], ['$(bell-dot) 1 decision', true]);
assert.match(waiting.tooltip, /D-7 waits for you: May it\?\nR-2 40%: step 1\/2: fmt/);

const lines = [
  { request_id: 'R-3', description: 'a', outcome: 'completed', landed: 2 },
  { request_id: 'R-2', description: 'b', outcome: null, landed: 0 },
  { request_id: 'R-1', description: 'c', outcome: 'failed', landed: 0 },
  { request_id: 'R-0', description: 'd', outcome: 'partial', landed: 1, applied_at: '2026-01-01T00:00:00Z' },
];
assert.deepStrictEqual(
  rows({ ...quiet, runs: [run], decisions: [decision] }, lines).map((row) => [row.id, row.kind, row.label]),
  [
    ['D-7', 'decision', 'May it?'],
    ['R-2', 'active', 'tidy'],
    ['R-3', 'landed', 'a'],
    ['R-1', 'over', 'c'],
    ['R-0', 'applied', 'd'],
  ],
);

// Two folders: one item counts both and says whose each line is; each row bears its folder's name.
const both = [
  { name: 'shop', status: { ...quiet, runs: [run] } },
  { name: 'site', status: { ...quiet, decisions: [decision] } },
];
assert.deepStrictEqual(items(both), {
  text: '$(bell-dot) 1 decision',
  tooltip: 'site: D-7 waits for you: May it?\nshop: R-2 40%: step 1/2: fmt',
  waiting: true,
  open: 1,
});
assert.strictEqual(items([both[0], both[0]]).text, '$(sync~spin) 2 runs 40%');
assert.deepStrictEqual(
  rows(both[0].status, lines, 'shop').map((row) => row.description).slice(0, 2),
  ['shop: R-2 40% step 1/2: fmt', 'shop: R-3 completed'],
);
assert.deepStrictEqual(
  [knows(both[1].status, [], 'D-7'), knows(both[0].status, [], 'D-7'), knows(quiet, lines, 'R-1'), knows(quiet, lines, 'R-9')],
  [true, false, true, false],
);

// A checkout is found from its folders; a file belongs to the innermost one, and a like beginning is no containment.
const top = (/** @type {string} */ folder) => checkout(folder, path.posix.dirname, (at) => at === '/w/shop');
assert.deepStrictEqual([top('/w/shop'), top('/w/shop/web/src'), top('/w/site')], ['/w/shop', '/w/shop', '/w/site']);
const within = (/** @type {string} */ file) => innermost(['/w/shop', '/w/shop/lib', '/w/site'], file, '/');
assert.deepStrictEqual(
  [within('/w/shop/a'), within('/w/shop/lib/a'), within('/w/shop-2/a'), innermost(['/'], '/a', '/')],
  ['/w/shop', '/w/shop/lib', undefined, '/'],
);

const manifest = JSON.parse(fs.readFileSync(`${__dirname}/package.json`, 'utf8'));
const code = fs.readFileSync(`${__dirname}/extension.js`, 'utf8');
for (const { command } of manifest.contributes.commands) {
  const short = command.replace('orchestrator.ui.', '');
  assert(code.includes(`'${command}'`) || code.includes(`['${short}', `), `${command} is declared and not registered`);
}
console.log('the extension is well');
