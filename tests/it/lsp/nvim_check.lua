-- Real Neovim against the real program, as a user with `vim.lsp.enable('orchestrator')` and nothing else:
--   NVIM_PLUGIN=FOLDER nvim --headless -u NONE -l nvim_check.lua FILE
-- Prints what it sees, one fact a line, and ends with status 0 when all of it was right.
local file = assert(arg[1], 'which file?')
local function fact(name, ...)
  print(name .. ': ' .. table.concat(vim.tbl_map(tostring, { ... }), ' | '))
end
local function await(what, look)
  if not vim.wait(30000, look, 20) then
    fact('waited in vain for', what)
    fact('said', vim.inspect(said), vim.inspect(vim.api.nvim_buf_get_lines(0, 0, -1, false)))
    os.exit(1)
  end
end

local progress, asked, said = {}, {}, {}
vim.api.nvim_create_autocmd('LspProgress', {
  callback = function(event)
    progress[#progress + 1] = event.data.params.value
  end,
})
local answer = 1
vim.ui.select = function(items, options, done)
  local shown = vim.tbl_map(options.format_item or tostring, items)
  asked[#asked + 1] = options.prompt .. ' -> ' .. table.concat(shown, ', ')
  done(answer and items[answer] or nil, answer)
end
vim.notify = function(text)
  said[#said + 1] = text
end

vim.opt.runtimepath:prepend(assert(vim.env.NVIM_PLUGIN, 'set NVIM_PLUGIN'))
vim.cmd.runtime('plugin/orchestrator.lua')
vim.lsp.enable('orchestrator')
vim.cmd.edit(file)
vim.bo.filetype = 'text'
local edited = vim.api.nvim_get_current_buf()
local function attached()
  return vim.lsp.get_clients({ name = 'orchestrator', bufnr = 0 })[1]
end
await('the client', function()
  return attached() and attached().initialized
end)
local client = attached()
fact('attached', client.server_info.name, client.offset_encoding)

-- What `gra` would offer on the TODO.
local mark = vim.fn.search('TODO')
vim.api.nvim_win_set_cursor(0, { mark, 5 })
local params = vim.lsp.util.make_range_params(0, client.offset_encoding)
params.context = { diagnostics = {} }
local offered = client:request_sync('textDocument/codeAction', params, 10000, 0).result
fact('offered', unpack(vim.tbl_map(function(action)
  return action.title
end, offered)))

-- A run from the command line of the editor, to its end, and home as an edit.
require('orchestrator').execute('run', {
  description = 'say two',
  plan = {
    version = 1,
    tasks = {
      { id = 'a', title = 'Say two', kind = 'shell', run = "sleep 0.3; sed -i 's/one/two/' " .. vim.fn.fnamemodify(file, ':t') },
    },
  },
})
await('the end of the progress', function()
  return #progress > 0 and progress[#progress].kind == 'end'
end)
fact('progress', progress[1].kind, progress[1].percentage ~= nil, progress[#progress].kind)
await('the offer', function()
  return #asked > 0
end)
fact('asked', (asked[1]:gsub('%d+%.%d+s', 'N s')))
await('the edit', function()
  return vim.api.nvim_buf_get_lines(0, 0, 1, false)[1] == 'two'
end)
fact('buffer', vim.api.nvim_buf_get_lines(0, 0, -1, false)[1], vim.bo.modified)

-- A decision: put off, seen as diagnostic and lens, then answered.
answer = nil
asked = {}
vim.cmd('silent write')
require('orchestrator').execute('run', {
  description = 'ask',
  uri = vim.uri_from_bufnr(0),
  range = { start = { line = mark - 1, character = 0 }, ['end'] = { line = mark, character = 0 } },
  plan = {
    version = 1,
    tasks = { { id = 'q', title = 'Colour', kind = 'decision', question = 'Which colour?', options = { 'Red', 'Blue' } } },
  },
})
await('the question', function()
  return #asked > 0
end)
await('the diagnostic', function()
  return #vim.diagnostic.get(0) > 0
end)
local found = vim.diagnostic.get(0)[1]
fact('diagnostic', found.lnum + 1 == mark, found.severity == vim.diagnostic.severity.INFO, found.message)
local lenses = client:request_sync('textDocument/codeLens', { textDocument = { uri = vim.uri_from_bufnr(0) } }, 10000, 0)
fact('lens', lenses.result[1].command.title)
fact('open after no answer', #require('orchestrator').status().decisions)
answer = 1
vim.cmd('Orchestrator decide')
await('the answer', function()
  return #require('orchestrator').status().decisions == 0 and #vim.diagnostic.get(0) == 0
end)
fact('asked', unpack(asked))

-- Taken out again: of the disk and the buffer, and nothing is left at its lines.
await('the report of the second', function()
  return vim.api.nvim_get_current_buf() ~= edited
end)
vim.api.nvim_set_current_buf(edited)
fact('saved by the user', vim.fn.readfile(vim.fn.expand('%'))[1])
vim.cmd('Orchestrator undo R-1')
await('the first line as it was', function()
  return vim.api.nvim_buf_get_lines(0, 0, 1, false)[1] == 'one' and vim.fn.readfile(vim.fn.expand('%'))[1] == 'one'
end)
lenses = client:request_sync('textDocument/codeLens', { textDocument = { uri = vim.uri_from_bufnr(0) } }, 10000, 0)
local signs = vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { type = 'sign' })
fact('after undo', #vim.diagnostic.get(0), #(lenses.result or {}), #signs, vim.bo.modified)
vim.cmd('Orchestrator status')
await('the status', function()
  return said[#said] and said[#said]:find('R-2')
end)
answer = 3
vim.cmd('Orchestrator plan R-2')
await('the plan as a buffer', function()
  return vim.api.nvim_buf_get_lines(0, 0, 1, false)[1] == '# Plan of R-2'
end)
fact('plan', vim.bo.readonly or vim.api.nvim_buf_get_name(0):find('^orchestrator:') ~= nil)
vim.cmd('checkhealth orchestrator')
local health = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
fact('health', health:find('is not found') == nil, health:find('attached to') ~= nil)
client:stop()
await('the end of the client', function()
  return client:is_stopped()
end)
print('all is well')
os.exit(0)
