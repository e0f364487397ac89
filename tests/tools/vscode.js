// What `vscode` starts: a code action, the decision of a run that a terminal started, the result brought in and taken out
// again; then a window with two folders, each served by itself. `node vscode.js PLAYWRIGHT URL OUT`, with $WORK and
// $PROGRAM from there.
const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const [playwright, url, out] = process.argv.slice(2);
const { PROGRAM: program, WORK: work } = process.env;
const { chromium } = require(playwright);

const terminalIn = (folder, ...words) => execFileSync(program, ['--in', `${work}/${folder}`, ...words], { encoding: 'utf8' });
const terminal = (...words) => terminalIn('repo', ...words);
const onDisk = () => readFileSync(`${work}/repo/repo.py`, 'utf8');

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(60000);
  let number = 0;
  const shot = async (name) => {
    await page.screenshot({ path: `${out}/${++number}-${name}.png` });
    console.log(name, JSON.stringify(await page.locator('.notifications-toasts .notification-list-item').allInnerTexts()));
  };
  const row = (text) => page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  const palette = async (text) => {
    await page.keyboard.press('F1');
    await page.waitForSelector('.quick-input-widget input');
    await page.keyboard.type(text);
    await row(text).click();
  };
  const toast = (text) => page.locator('.notifications-toasts .notification-list-item', { hasText: text }).first();
  try {
    const first = onDisk();
    await page.goto(`${url}/?folder=${work}/repo`, { waitUntil: 'domcontentloaded' });
    const file = page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'repo.py' }).first();
    await file.waitFor({ timeout: 120000 });
    await file.dblclick();
    await page.locator('.view-line', { hasText: 'TODO' }).first().click();
    await page.locator('.statusbar-item', { hasText: 'Orchestrator' }).first().waitFor();
    await shot('open');

    await page.keyboard.press('Control+.');
    await page.locator('.action-widget .monaco-list-row', { hasText: 'Orchestrate' }).first().waitFor();
    console.log('actions', JSON.stringify(await page.locator('.action-widget .monaco-list-row').allInnerTexts()));
    await shot('actions');
    await page.keyboard.press('Escape');

    terminal('run', 'mend it', '--plan', `${work}/plan.json`, '--detach');
    await toast('Mend add()?').waitFor();
    await page.locator('.codelens-decoration', { hasText: 'decision' }).first().waitFor();
    await shot('question');
    await toast('Mend add()?').locator('.monaco-button', { hasText: 'Yes' }).first().click();

    console.log(terminal('status', 'R-1', '--watch'));
    await shot('answered');

    await palette('Orchestrator: Bring a result in');
    await row('R-1').click();
    await page.locator('.view-line', { hasText: 'a + b' }).first().waitFor();
    await toast('is in the editor').waitFor();
    await shot('brought');
    if (onDisk().includes('a + b')) throw new Error('it was written to disk');
    await palette('Orchestrator: Take a result out again');
    await row('R-1').click();
    await page.locator('.view-line', { hasText: 'a - b' }).first().waitFor();
    await shot('taken-out');

    await palette('Orchestrator: Bring a result in');
    await row('R-1').click();
    await page.locator('.view-line', { hasText: 'a + b' }).first().waitFor();
    await palette('File: Save All');
    await page.waitForTimeout(1500);
    await shot('saved');
    if (!onDisk().includes('a + b')) throw new Error('it was not saved');
    console.log(terminal('undo', 'R-1'));
    if (onDisk() !== first) throw new Error(`the disk has ${JSON.stringify(onDisk())}`);
    await page.locator('.view-line', { hasText: 'a - b' }).first().waitFor();
    await shot('undone-by-the-terminal');

    await palette('Orchestrator: Show a report');
    await row('R-1').click();
    await page.waitForTimeout(2500);
    await shot('report');
    await page.locator('.activitybar .action-label[aria-label*="Orchestrator"]').first().click();
    await page.waitForTimeout(1500);
    await shot('runs');

    await page.goto(`${url}/?workspace=${work}/two.code-workspace`, { waitUntil: 'domcontentloaded' });
    // A workbench that comes up beside the one it takes the place of has once shown no folder at all.
    await page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'second' }).first()
      .waitFor({ timeout: 30000 })
      .catch(() => page.reload({ waitUntil: 'domcontentloaded' }));
    const open = async (name) => {
      const folder = page.locator('.explorer-folders-view .monaco-list-row', { hasText: name.replace('.py', '') }).first();
      const found = page.locator('.explorer-folders-view .monaco-list-row', { hasText: name }).first();
      await folder.waitFor({ timeout: 120000 });
      if (!(await found.isVisible())) await folder.click();
      await found.dblclick();
      await page.locator('.tab.active', { hasText: name }).first().waitFor();
    };
    await open('second.py');
    await page.locator('.view-line', { hasText: 'TODO' }).first().click();
    // The second server may still be on its way: then nothing is offered, and it is asked again.
    const own = page.locator('.action-widget .monaco-list-row', { hasText: 'Orchestrate' }).first();
    for (let tries = 0; tries < 30 && !(await own.isVisible()); tries++) {
      await page.keyboard.press('Control+.');
      await own.waitFor({ timeout: 2000 }).catch(() => undefined);
    }
    const offered = await page.locator('.action-widget .monaco-list-row', { hasText: 'Orchestrate' }).allInnerTexts();
    console.log('actions in the second folder', JSON.stringify(offered));
    if (new Set(offered).size !== offered.length) throw new Error('offered twice');
    await shot('two-actions');
    await page.keyboard.press('Escape');
    terminalIn('second', 'run', 'mend the second', '--plan', `${work}/second.json`, '--detach');
    await toast('second: ').waitFor();
    await page.locator('.codelens-decoration', { hasText: 'decision' }).first().waitFor();
    // A badge lies over the icon by now.
    await page.locator('.activitybar .action-label[aria-label*="Orchestrator"]').first().click({ force: true });
    await page.locator('.pane-body .monaco-list-row', { hasText: 'Mend add()?' }).first().waitFor();
    await shot('two-question');
    await toast('second: ').locator('.monaco-button', { hasText: 'Yes' }).first().click();
    console.log(terminalIn('second', 'status', 'R-1', '--watch'));
    await palette('Orchestrator: Bring a result in');
    await row('R-1').click();
    await page.locator('.view-line', { hasText: 'a + b' }).first().waitFor();
    await shot('two-brought');
    console.log('done');
  } catch (error) {
    await shot('failed');
    console.log(String(error));
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
})();
