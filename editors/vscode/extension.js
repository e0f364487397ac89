// Starts `orchestrator --lsp`, maps commands to the server's, and draws what it says. Nothing is decided here.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');
const { ExecuteCommandRequest, LanguageClient, MessageType, ShowMessageRequest } = require('vscode-languageclient/node');
const view = require('./view');

/**
 * A checkout and the server that works in it: one serves one. Folders of the window that lie in the same one share it.
 * @typedef {{ root: string, name: string, client: LanguageClient | undefined, known: import('./view').Line[],
 *   status: import('./view').Status }} Session
 */

/** @type {Map<string, Session>} By the checkout's folder. */
const sessions = new Map();

/** One client of several: the commands of the server are registered once, for all of them, and given to the right one. */
class Client extends LanguageClient {
  /** @param {import('vscode-languageclient').StaticFeature | import('vscode-languageclient').DynamicFeature<any>} feature */
  registerFeature(feature) {
    if (!('registrationType' in feature) || feature.registrationType.method !== ExecuteCommandRequest.method) {
      super.registerFeature(feature);
    }
  }
}

/** The session of a file: that of the innermost checkout it is in. @param {vscode.Uri | undefined} uri */
function sessionOf(uri) {
  const root = uri && uri.scheme === 'file' && view.innermost([...sessions.keys()], uri.fsPath, path.sep);
  return root ? sessions.get(root) : undefined;
}

/**
 * Where a command is meant to work: by the row or file it was called on, by what it names, by the editor in use; else
 * the only one, or one that is picked.
 * @param {any} [argument]
 * @returns {Promise<Session | undefined>}
 */
async function which(argument) {
  const { row, uri, decision_id: decision, task_id: task, run, id } = argument || {};
  const all = [...sessions.values()];
  const here = sessionOf(vscode.window.activeTextEditor?.document.uri);
  const named = decision || task || run || id;
  // Each checkout counts its own: where two have an R-1, that of the editor in use is meant.
  const known = (/** @type {Session | undefined} */ session) => session && view.knows(session.status, session.known, named);
  const found =
    (row && sessions.get(row.root)) ||
    (typeof uri === 'string' && sessionOf(vscode.Uri.parse(uri))) ||
    (named && [here, ...all].find(known)) ||
    here ||
    (all.length === 1 ? all[0] : undefined);
  if (found) {
    return found;
  }
  if (!all.length) {
    vscode.window.showErrorMessage('Orchestrator: no folder is open; open the folder that it should work in.');
    return undefined;
  }
  const picked = await vscode.window.showQuickPick(
    all.map((session) => ({ label: session.name, description: session.root, session })),
    { title: 'In which folder?', matchOnDescription: true },
  );
  return picked && picked.session;
}

/** @extends {vscode.TreeItem} */
class Item extends vscode.TreeItem {
  /**
   * @param {import('./view').Row} row
   * @param {string} root
   */
  constructor(row, root) {
    super(row.label);
    this.row = { ...row, root };
    this.id = `${root} ${row.id}`;
    this.description = row.description;
    this.tooltip = row.tooltip;
    this.iconPath = new vscode.ThemeIcon(row.icon);
    this.contextValue = `orchestrator.${row.kind}`;
    this.command =
      row.kind === 'decision'
        ? { command: 'orchestrator.ui.decide', title: 'Decide', arguments: [{ row: this.row }] }
        : { command: 'orchestrator.ui.report', title: 'Report', arguments: [{ row: this.row }] };
  }
}

/**
 * Has the server of a folder do something. What it refuses is shown.
 * @param {Session} session
 * @param {string} name
 * @param {object} [argument]
 */
async function execute({ client }, name, argument) {
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
  const session = await which(place);
  if (!session) {
    return;
  }
  const description = await vscode.window.showInputBox({
    title: sessions.size > 1 ? `Orchestrate in ${session.name}` : 'Orchestrate',
    prompt: place.range ? 'What should be done with the selection?' : 'What should be done?',
    placeHolder: 'format and lint this repository; keep only what passes its tests',
  });
  if (description && description.trim()) {
    await execute(session, 'run', { ...place, description });
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

/**
 * @param {Session} session
 * @param {string | undefined} id
 */
async function decide(session, id) {
  const reply = await execute(session, 'get_pending_decisions', {});
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
  const result = await execute(session, 'submit_decision', { decision_id: decision.decision_id, response });
  if (result) {
    vscode.window.setStatusBarMessage(`Orchestrator: ${result.summary}`, 5000);
  }
}

/**
 * The run that a command is about: the row it was called on, or one that is picked.
 * @param {Session} session
 * @param {any} argument
 * @param {(row: import('./view').Row) => boolean} fits
 * @returns {Promise<string | undefined>}
 */
async function run(session, argument, fits) {
  if (argument && argument.row) {
    return argument.row.id;
  }
  await refresh(session);
  const found = view.rows(session.status, session.known).filter((row) => row.kind !== 'decision' && fits(row));
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

/** @param {Session} session */
async function refresh(session) {
  const reply = await execute(session, 'list_runs', {});
  session.known = (reply && reply.runs) || session.known;
}

/** @param {vscode.ExtensionContext} context */
function activate(context) {
  /** Commands of the server that are registered. @type {Set<string>} */
  const served = new Set();
  /** @type {vscode.EventEmitter<void>} */
  const changed = new vscode.EventEmitter();
  const tree = vscode.window.createTreeView('orchestrator.runs', {
    treeDataProvider: {
      onDidChangeTreeData: changed.event,
      getTreeItem: (/** @type {Item} */ item) => item,
      getChildren: (/** @type {Item | undefined} */ item) =>
        item
          ? []
          : [...sessions.values()].flatMap(({ root, name, status, known }) =>
              view.rows(status, known, sessions.size > 1 ? name : undefined).map((row) => new Item(row, root)),
            ),
    },
  });
  const bar = vscode.window.createStatusBarItem('orchestrator.status', vscode.StatusBarAlignment.Left, 10);
  bar.name = 'Orchestrator';

  function draw() {
    const { text, tooltip, waiting, open } = view.item([...sessions.values()]);
    bar.text = text;
    bar.tooltip = tooltip;
    bar.backgroundColor = waiting ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    bar.command = waiting ? 'orchestrator.ui.decide' : 'orchestrator.runs.focus';
    bar.show();
    tree.badge = open ? { value: open, tooltip: `${open} waiting for you` } : undefined;
    changed.fire();
  }

  /**
   * @param {string} root
   * @param {string} name
   */
  async function start(root, name) {
    const uri = vscode.Uri.file(root);
    const command = vscode.workspace.getConfiguration('orchestrator').get('path', 'orchestrator');
    /** @type {Session} */
    const session = { root, name, client: undefined, known: [], status: { runs: [], decisions: [], connected: false } };
    sessions.set(root, session);
    // Where one checkout lies in another, its files are its own and not the outer one's.
    const own = (/** @type {vscode.TextDocument} */ document) => sessionOf(document.uri) === session;
    const server = { command, args: ['--lsp'], options: { cwd: root } };
    const client = new Client('orchestrator', sessions.size > 1 ? `Orchestrator: ${name}` : 'Orchestrator', server, {
      documentSelector: [{ scheme: 'file' }],
      workspaceFolder: { uri, name, index: 0 },
      // `toasts`: a question leaves the screen by itself, so the next one need not wait for its answer.
      initializationOptions: { status: true, inputBox: true, toasts: true },
      middleware: {
        didOpen: async (document, next) => (own(document) ? next(document) : undefined),
        didChange: async (event, next) => (own(event.document) ? next(event) : undefined),
        didSave: async (document, next) => (own(document) ? next(document) : undefined),
        didClose: async (document, next) => (own(document) ? next(document) : undefined),
        provideCodeActions: (document, range, context, token, next) =>
          own(document) ? next(document, range, context, token) : [],
        provideCodeLenses: (document, token, next) => (own(document) ? next(document, token) : []),
      },
    });
    session.client = client;
    // Whose question it is, where several may ask.
    client.onRequest(ShowMessageRequest.type, ({ type, message, actions = [] }) => {
      const words = sessions.size > 1 ? `${name}: ${message}` : message;
      const show =
        type === MessageType.Error
          ? vscode.window.showErrorMessage
          : type === MessageType.Warning
            ? vscode.window.showWarningMessage
            : vscode.window.showInformationMessage;
      return show(words, ...actions).then((chosen) => chosen || null);
    });
    client.onNotification('orchestrator/status', (told) => {
      const before = session.status.runs.length;
      session.status = told;
      draw();
      if (told.runs.length !== before) {
        refresh(session).then(draw);
      }
    });
    try {
      await client.start();
      if (sessions.get(root) !== session) {
        return await client.stop();
      }
      for (const name of client.initializeResult?.capabilities.executeCommandProvider?.commands || []) {
        if (!served.has(name)) {
          served.add(name);
          context.subscriptions.push(vscode.commands.registerCommand(name, (argument) => serve(name, argument)));
        }
      }
      await refresh(session);
    } catch (error) {
      session.client = undefined;
      const message = `Orchestrator: ${command} could not be started: ${error instanceof Error ? error.message : error}`;
      const settings = 'Open the setting';
      if ((await vscode.window.showErrorMessage(message, settings)) === settings) {
        vscode.commands.executeCommand('workbench.action.openSettings', 'orchestrator.path');
      }
    }
    draw();
  }

  /** @param {string} root */
  async function stop(root) {
    const session = sessions.get(root);
    sessions.delete(root);
    await session?.client?.stop().catch(() => undefined);
    draw();
  }

  /** A server for each checkout that a folder of the window is in, and for no other. */
  async function follow() {
    /** @type {Map<string, string>} */
    const wanted = new Map();
    for (const { uri, name } of vscode.workspace.workspaceFolders || []) {
      if (uri.scheme === 'file') {
        const root = view.checkout(uri.fsPath, path.dirname, (folder) => fs.existsSync(path.join(folder, '.git')));
        wanted.set(root, wanted.has(root) ? path.basename(root) : name);
      }
    }
    const over = [...sessions.keys()].filter((root) => !wanted.has(root));
    const fresh = [...wanted].filter(([root]) => !sessions.has(root));
    await Promise.all([...over.map(stop), ...fresh.map(([root, name]) => start(root, name))]);
  }

  /**
   * What a lens, a code action or somebody's key calls: the server's own commands.
   * @param {string} name
   * @param {any} argument
   */
  async function serve(name, argument) {
    const session = await which(argument);
    if (!session) {
      return undefined;
    }
    // The lens and the server's own command ask with a message; a quick pick shows more.
    if (name === 'orchestrator.decide') {
      return decide(session, argument && argument.decision_id);
    }
    return execute(session, name.replace('orchestrator.', ''), argument);
  }

  /** Where the most urgent question is, or the folder that is meant. @param {any} argument */
  const asking = (argument) => {
    const waiting = [...sessions.values()].filter((session) => session.status.decisions.length);
    return argument || waiting.length !== 1 ? which(argument) : waiting[0];
  };

  /** @type {[string, (argument: any) => Promise<unknown>][]} */
  const commands = [
    ['orchestrator.ask', ask],
    ['orchestrator.ui.run', () => ask(selection())],
    ['orchestrator.ui.decide', async (argument) => {
      const session = await asking(argument);
      return session && decide(session, argument && (argument.decision_id || argument.row?.id));
    }],
    ['orchestrator.ui.doctor', async () => {
      const session = await which();
      return session && execute(session, 'doctor', {});
    }],
    ['orchestrator.ui.restart', async () => {
      await Promise.all([...sessions.keys()].map(stop));
      await follow();
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
      const session = await which(argument);
      const id = session && (await run(session, argument, fits));
      if (!id) {
        return;
      }
      const result = await execute(session, call, { [parameter]: id });
      if (result && result.undone === false) {
        vscode.window.showWarningMessage(result.summary);
      } else if (result && !call.startsWith('show_')) {
        vscode.window.setStatusBarMessage(`Orchestrator: ${result.summary}`, 5000);
      }
      await refresh(session);
      draw();
    }]);
  }
  for (const [name, action] of commands) {
    context.subscriptions.push(vscode.commands.registerCommand(name, action));
  }
  context.subscriptions.push(tree, bar, changed);
  context.subscriptions.push(vscode.workspace.onDidChangeWorkspaceFolders(follow));
  draw();
  return follow();
}

function deactivate() {
  return Promise.all([...sessions.values()].map(({ client }) => client?.stop()));
}

module.exports = { activate, deactivate };
