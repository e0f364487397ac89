// What is shown of a status, as plain values: no editor in here, so that it can be tested by itself.
'use strict';

/**
 * @typedef {{ id: string, title: string, effect: string, takes_text: boolean, reversible: boolean }} Option
 * @typedef {{ decision_id: string, question: string, detail: string, options: Option[], criticality: number,
 *   context: { request_id: string } }} Decision
 * @typedef {{ request_id: string, description: string, percent: number, message: string }} Run
 * @typedef {{ runs: Run[], decisions: Decision[], connected: boolean }} Status
 * @typedef {{ request_id: string, description: string, outcome: string | null, landed: number, applied_at?: string }} Line
 * @typedef {{ id: string, kind: 'decision' | 'active' | 'landed' | 'applied' | 'over', label: string, description: string,
 *   tooltip: string, icon: string }} Row
 */

/** @param {string} text */
function firstLine(text) {
  return text.split('\n', 1)[0];
}

/**
 * The one status item: what it says, and whether somebody must act.
 * @param {Status} status
 * @returns {{ text: string, tooltip: string, waiting: boolean }}
 */
function item(status) {
  const open = status.decisions.length;
  const runs = status.runs.length;
  const lines = [
    ...status.decisions.map((decision) => `${decision.decision_id} waits for you: ${decision.question}`),
    ...status.runs.map((run) => `${run.request_id} ${run.percent}%: ${run.message}`),
  ];
  const tooltip = lines.length ? lines.join('\n') : 'Orchestrator: nothing is under way';
  if (open) {
    return { text: `$(bell-dot) ${open} ${open === 1 ? 'decision' : 'decisions'}`, tooltip, waiting: true };
  }
  if (runs) {
    const percent = Math.min(...status.runs.map((run) => run.percent));
    return { text: `$(sync~spin) ${runs === 1 ? status.runs[0].request_id : `${runs} runs`} ${percent}%`, tooltip, waiting: false };
  }
  return { text: '$(circuit-board) Orchestrator', tooltip, waiting: false };
}

/**
 * The rows of the view: what waits, what is under way, what is over.
 * @param {Status} status
 * @param {Line[]} known Runs as the daemon lists them, newest first.
 * @returns {Row[]}
 */
function rows(status, known) {
  const active = new Set(status.runs.map((run) => run.request_id));
  /** @type {Row[]} */
  const found = status.decisions.map((decision) => ({
    id: decision.decision_id,
    kind: 'decision',
    label: decision.question,
    description: `${decision.decision_id} of ${decision.context.request_id}`,
    tooltip: decision.detail,
    icon: 'bell-dot',
  }));
  for (const run of status.runs) {
    found.push({
      id: run.request_id,
      kind: 'active',
      label: firstLine(run.description),
      description: `${run.request_id} ${run.percent}% ${run.message}`,
      tooltip: run.description,
      icon: 'sync~spin',
    });
  }
  for (const run of known.filter((line) => line.outcome && !active.has(line.request_id)).slice(0, 20)) {
    const kind = run.applied_at ? 'applied' : run.landed ? 'landed' : 'over';
    found.push({
      id: run.request_id,
      kind,
      label: firstLine(run.description),
      description: `${run.request_id} ${run.outcome}${run.applied_at ? ', brought in' : ''}`,
      tooltip: run.description,
      icon: run.outcome === 'completed' ? 'pass' : run.outcome === 'cancelled' ? 'circle-slash' : 'warning',
    });
  }
  return found;
}

module.exports = { item, rows };
