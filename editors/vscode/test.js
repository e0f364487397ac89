// node test.js: what is drawn, and that the manifest and the code name the same commands.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { item, rows } = require('./view');

const quiet = { runs: [], decisions: [], connected: true };
const run = { request_id: 'R-2', description: 'tidy\nup', percent: 40, message: 'step 1/2: fmt' };
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
});
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

const manifest = JSON.parse(fs.readFileSync(`${__dirname}/package.json`, 'utf8'));
const code = fs.readFileSync(`${__dirname}/extension.js`, 'utf8');
for (const { command } of manifest.contributes.commands) {
  const short = command.replace('orchestrator.ui.', '');
  assert(code.includes(`'${command}'`) || code.includes(`['${short}', `), `${command} is declared and not registered`);
}
console.log('the extension is well');
