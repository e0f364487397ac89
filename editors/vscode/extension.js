// Starts `orchestrator --lsp`, maps commands to the server's, and draws what it says. Nothing is decided here.
'use strict';

const vscode = require('vscode');
const { LanguageClient } = require('vscode-languageclient/node');
const view = require('./view');

/** @type {import('vscode-languageclient/node').LanguageClient | undefined} */
let client;
/** @type {import('./view').Status} */
let status = { runs: [], decisions: [], connected: false };
/** @type {import('./view').Line[]} */
let known = [];

/** @extends {vscode.TreeItem} */
class Item extends vscode.TreeItem {
  /** @param {import('./view').Row} row */
  constructor(row) {
    super(row.label);
    this.row = row;
    this.id = row.id;
    this.description = row.description;
    this.tooltip = row.tooltip;
    this.iconPath = new vscode.ThemeIcon(row.icon);
    this.contextValue = `orchestrator.${row.kind}`;
    this.command =
      row.kind === 'decision'
        ? { command: 'orchestrator.ui.decide', title: 'Decide', arguments: [{ decision_id: row.id }] }
        : { command: 'orchestrator.ui.report', title: 'Report', arguments: [{ row }] };
  }
}

/**
 * Has the server do something. What it refuses is shown.
 * @param {string} name
 * @param {object} [argument]
 */
async function execute(name, argument) {
  if (!client) {
    vscode.window.showErrorMessage('Orchestrator: the server does not run; look at its output, then restart it.');
    return undefined;
  }
  try {
    return await client.sendRequest('workspace/executeCommand', {
      command: `orchestrator.${name}`,
      arguments: argument ? [argument] : [],
    });
  } catch (error) {
    vscode.window.showErrorMessage(`Orchestrator: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** @param {{ uri?: string, range?: object }} place */
async function ask(place) {
  const description = await vscode.window.showInputBox({
    title: 'Orchestrate',
    prompt: place.range ? 'What should be done with the selection?' : 'What should be done?',
    placeHolder: 'format and lint this repository; keep only what passes its tests',
  });
  if (description && description.trim()) {
    await execute('run', { ...place, description });
  }
}

function selection() {
  const editor = vscode.window.activeTextEditor;
  if (!editor || editor.selection.isEmpty || editor.document.uri.scheme !== 'file') {
    return {};
  }
  const { start, end } = editor.selection;
  const position = (/** @type {vscode.Position} */ at) => ({ line: at.line, character: at.character });
  return { uri: editor.document.uri.toString(), range: { start: position(start), end: position(end) } };
}

/**
 * A pick in which nothing is selected before somebody does: Enter alone answers nothing.
 * @template {vscode.QuickPickItem} T
 * @param {T[]} items
 * @param {string} title
 * @returns {Promise<T | undefined>}
 */
function pick(items, title) {
  return new Promise((resolve) => {
    /** @type {vscode.QuickPick<T>} */
    const picker = vscode.window.createQuickPick();
    picker.items = items;
    picker.title = title;
    picker.placeholder = 'Escape leaves it open';
    picker.ignoreFocusOut = true;
    picker.onDidAccept(() => {
      const [chosen] = picker.selectedItems;
      if (chosen) {
        resolve(chosen);
        picker.hide();
      }
    });
    picker.onDidHide(() => {
      resolve(undefined);
      picker.dispose();
    });
    picker.show();
    picker.activeItems = [];
  });
}

/** @param {string | undefined} id */
async function decide(id) {
  const reply = await execute('get_pending_decisions', {});
  /** @type {import('./view').Decision[]} */
  const open = (reply && reply.decisions) || [];
  if (!open.length) {
    if (reply) {
      vscode.window.showInformationMessage('Orchestrator: nothing waits for you.');
    }
    return;
  }
  let decision = open.find((found) => found.decision_id === id) || (open.length === 1 ? open[0] : undefined);
  if (!decision) {
    const picked = await vscode.window.showQuickPick(
      open.map((found) => ({ label: found.question, description: found.decision_id, found })),
      { title: 'What waits for you', matchOnDescription: true },
    );
    decision = picked && picked.found;
  }
  if (!decision) {
    return;
  }
  const picked = await pick(
    decision.options.map((option) => ({
      label: option.title,
      description: option.reversible ? '' : 'cannot be taken back',
      detail: option.effect,
      option,
    })),
    `${decision.decision_id}: ${decision.question}`,
  );
  // Nothing picked is no answer.
  if (!picked) {
    return;
  }
  /** @type {{ choice: string, text?: string }} */
  const response = { choice: picked.option.id };
  if (picked.option.takes_text) {
    const text = await vscode.window.showInputBox({ title: picked.option.title, prompt: 'Words with it; may be empty' });
    if (text === undefined) {
      return;
    }
    response.text = text || undefined;
  }
  const result = await execute('submit_decision', { decision_id: decision.decision_id, response });
  if (result) {
    vscode.window.setStatusBarMessage(`Orchestrator: ${result.summary}`, 5000);
  }
}

/**
 * The run that a command is about: the row it was called on, or one that is picked.
 * @param {any} argument
 * @param {(row: import('./view').Row) => boolean} fits
 * @returns {Promise<string | undefined>}
 */
async function run(argument, fits) {
  if (argument && argument.row) {
    return argument.row.id;
  }
  await refresh();
  const found = view.rows(status, known).filter((row) => row.kind !== 'decision' && fits(row));
  if (!found.length) {
    vscode.window.showInformationMessage('Orchestrator: there is no such run.');
    return undefined;
  }
  const picked = await vscode.window.showQuickPick(
    found.map((row) => ({ label: row.label, description: row.description, id: row.id })),
    { title: 'Which run?', matchOnDescription: true },
  );
  return picked && picked.id;
}

async function refresh() {
  const reply = await execute('list_runs', {});
  known = (reply && reply.runs) || known;
}

/** @param {vscode.ExtensionContext} context */
function activate(context) {
  /** @type {vscode.EventEmitter<void>} */
  const changed = new vscode.EventEmitter();
  const tree = vscode.window.createTreeView('orchestrator.runs', {
    treeDataProvider: {
      onDidChangeTreeData: changed.event,
      getTreeItem: (/** @type {Item} */ item) => item,
      getChildren: (/** @type {Item | undefined} */ item) =>
        item ? [] : view.rows(status, known).map((row) => new Item(row)),
    },
  });
  const bar = vscode.window.createStatusBarItem('orchestrator.status', vscode.StatusBarAlignment.Left, 10);
  bar.name = 'Orchestrator';

  function draw() {
    const { text, tooltip, waiting } = view.item(status);
    bar.text = text;
    bar.tooltip = tooltip;
    bar.backgroundColor = waiting ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    bar.command = waiting ? 'orchestrator.ui.decide' : 'orchestrator.runs.focus';
    bar.show();
    const open = status.decisions.length;
    tree.badge = open ? { value: open, tooltip: `${open} waiting for you` } : undefined;
    changed.fire();
  }

  async function start() {
    const command = vscode.workspace.getConfiguration('orchestrator').get('path', 'orchestrator');
    const server = { command, args: ['--lsp'] };
    client = new LanguageClient('orchestrator', 'Orchestrator', server, {
      documentSelector: [{ scheme: 'file' }],
      // `toasts`: a question leaves the screen by itself, so the next one need not wait for its answer.
      initializationOptions: { status: true, inputBox: true, toasts: true },
      middleware: {
        // The lens and the server's own command ask with a message; a quick pick shows more.
        executeCommand: (name, argument, next) =>
          name === 'orchestrator.decide' ? decide(argument[0] && argument[0].decision_id) : next(name, argument),
      },
    });
    client.onNotification('orchestrator/status', (told) => {
      const before = status.runs.length;
      status = told;
      draw();
      if (status.runs.length !== before) {
        refresh().then(draw);
      }
    });
    try {
      await client.start();
      await refresh();
    } catch (error) {
      client = undefined;
      const message = `Orchestrator: ${command} could not be started: ${error instanceof Error ? error.message : error}`;
      const settings = 'Open the setting';
      if ((await vscode.window.showErrorMessage(message, settings)) === settings) {
        vscode.commands.executeCommand('workbench.action.openSettings', 'orchestrator.path');
      }
    }
    draw();
  }

  /** @type {[string, (argument: any) => Promise<unknown>][]} */
  const commands = [
    ['orchestrator.ask', ask],
    ['orchestrator.ui.run', () => ask(selection())],
    ['orchestrator.ui.decide', (argument) => decide(argument && (argument.decision_id || (argument.row && argument.row.id)))],
    ['orchestrator.ui.doctor', () => execute('doctor', {})],
    ['orchestrator.ui.restart', async () => {
      await client?.stop().catch(() => undefined);
      await start();
    }],
  ];
  /** @type {[string, string, string, (row: import('./view').Row) => boolean][]} */
  const onRuns = [
    ['cancel', 'cancel_task', 'task_id', (row) => row.kind === 'active'],
    ['retry', 'retry', 'task_id', (row) => row.kind !== 'active'],
    ['apply', 'apply', 'run', (row) => row.kind === 'landed'],
    ['undo', 'undo', 'run', (row) => row.kind === 'applied'],
    ['plan', 'show_plan', 'run', () => true],
    ['report', 'show_report', 'run', () => true],
    ['why', 'show_why', 'id', () => true],
    ['diff', 'show_diff', 'run', (row) => row.kind !== 'over'],
  ];
  for (const [name, call, parameter, fits] of onRuns) {
    commands.push([`orchestrator.ui.${name}`, async (argument) => {
      const id = await run(argument, fits);
      if (!id) {
        return;
      }
      const result = await execute(call, { [parameter]: id });
      if (result && result.undone === false) {
        vscode.window.showWarningMessage(result.summary);
      } else if (result && !call.startsWith('show_')) {
        vscode.window.setStatusBarMessage(`Orchestrator: ${result.summary}`, 5000);
      }
      await refresh();
      draw();
    }]);
  }
  for (const [name, action] of commands) {
    context.subscriptions.push(vscode.commands.registerCommand(name, action));
  }
  context.subscriptions.push(tree, bar, changed);
  draw();
  // A window without a folder has nothing to work on.
  if (vscode.workspace.workspaceFolders) {
    return start();
  }
  return undefined;
}

function deactivate() {
  return client ? client.stop() : undefined;
}

module.exports = { activate, deactivate };
