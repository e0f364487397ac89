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
 * The one status item of all folders: what it says, and whether somebody must act.
 * @param {{ name: string, status: Status }[]} folders
 * @returns {{ text: string, tooltip: string, waiting: boolean, open: number }}
 */
function item(folders) {
  const of = (/** @type {string} */ name) => (folders.length > 1 ? `${name}: ` : '');
  const runs = folders.flatMap(({ status }) => status.runs);
  const lines = [
    ...folders.flatMap(({ name, status }) =>
      status.decisions.map((decision) => `${of(name)}${decision.decision_id} waits for you: ${decision.question}`),
    ),
    ...folders.flatMap(({ name, status }) =>
      status.runs.map((run) => `${of(name)}${run.request_id} ${run.percent}%: ${run.message}`),
    ),
  ];
  const open = lines.length - runs.length;
  const tooltip = lines.length ? lines.join('\n') : 'Orchestrator: nothing is under way';
  if (open) {
    return { text: `$(bell-dot) ${open} ${open === 1 ? 'decision' : 'decisions'}`, tooltip, waiting: true, open };
  }
  if (runs.length) {
    const percent = Math.min(...runs.map((run) => run.percent));
    const name = runs.length === 1 ? runs[0].request_id : `${runs.length} runs`;
    return { text: `$(sync~spin) ${name} ${percent}%`, tooltip, waiting: false, open };
  }
  return { text: '$(circuit-board) Orchestrator', tooltip, waiting: false, open };
}

/**
 * The checkout that a folder is in, or the folder itself.
 * @param {string} folder
 * @param {(folder: string) => string} above
 * @param {(folder: string) => boolean} isTop
 * @returns {string}
 */
function checkout(folder, above, isTop) {
  for (let at = folder; ; at = above(at)) {
    if (isTop(at)) {
      return at;
    }
    if (at === above(at)) {
      return folder;
    }
  }
}

/**
 * The innermost of some folders that a file is in.
 * @param {string[]} folders
 * @param {string} file
 * @param {string} separator
 * @returns {string | undefined}
 */
function innermost(folders, file, separator) {
  return folders
    .filter((folder) => file.startsWith(folder.endsWith(separator) ? folder : folder + separator))
    .sort((a, b) => b.length - a.length)[0];
}

/**
 * Whether a folder's server has spoken of a run or decision.
 * @param {Status} status
 * @param {Line[]} known
 * @param {string} id
 */
function knows(status, known, id) {
  return (
    status.decisions.some((decision) => decision.decision_id === id) ||
    [...status.runs, ...known].some((run) => run.request_id === id)
  );
}

/**
 * The rows of the view: what waits, what is under way, what is over.
 * @param {Status} status
 * @param {Line[]} known Runs as the daemon lists them, newest first.
 * @param {string} [folder] Its folder's name, where there are several.
 * @returns {Row[]}
 */
function rows(status, known, folder) {
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
  return folder ? found.map((row) => ({ ...row, description: `${folder}: ${row.description}` })) : found;
}

module.exports = { checkout, innermost, item, knows, rows };
