-- Real Neovim with two roots in one session: each has a server, and a command goes to that of the buffer it is typed in.
--   NVIM_PLUGIN=FOLDER nvim --headless -u NONE -l nvim_roots.lua FILE_OF_ONE FILE_OF_OTHER
-- Prints what it sees, one fact a line, and ends with status 0 when all of it was right.
local one, other = assert(arg[1], 'which file?'), assert(arg[2], 'which other file?')
local said, asked, answer = {}, {}, nil
local function fact(name, ...)
  print(name .. ': ' .. table.concat(vim.tbl_map(tostring, { ... }), ' | '))
end
local function await(what, look)
  if not vim.wait(30000, look, 20) then
    fact('waited in vain for', what)
    fact('said', vim.inspect(said), vim.inspect(asked))
    os.exit(1)
  end
end
vim.ui.select = function(items, options, done)
  local shown = vim.tbl_map(options.format_item or tostring, items)
  asked[#asked + 1] = options.prompt .. ' -> ' .. table.concat(shown, ', ')
  -- An answer is the beginning of an item's words; none is Escape.
  for index, words in ipairs(shown) do
    if answer and vim.endswith(words, answer) or answer and vim.startswith(words, answer) then
      done(items[index], index)
      return
    end
  end
  done(nil, nil)
end
vim.notify = function(text)
  said[#said + 1] = text
end

vim.opt.runtimepath:prepend(assert(vim.env.NVIM_PLUGIN, 'set NVIM_PLUGIN'))
vim.cmd.runtime('plugin/orchestrator.lua')
vim.lsp.enable('orchestrator')
local function open(file)
  vim.cmd.edit(file)
  vim.bo.filetype = 'text'
  local function attached()
    return vim.lsp.get_clients({ name = 'orchestrator', bufnr = 0 })[1]
  end
  await('the client of ' .. file, function()
    return attached() and attached().initialized
  end)
  return attached(), vim.api.nvim_get_current_buf()
end
local first, first_buffer = open(one)
local second, second_buffer = open(other)
fact('two servers', first.id ~= second.id, vim.fs.basename(first.root_dir), vim.fs.basename(second.root_dir))

-- A question in the second root: its buffer shows it, the first one's does not.
local orchestrator = require('orchestrator')
orchestrator.execute('run', {
  description = 'ask in the second',
  plan = {
    version = 1,
    tasks = { { id = 'q', title = 'Colour', kind = 'decision', question = 'Which colour?', options = { 'Red', 'Blue' } } },
  },
})
await('the question', function()
  return #orchestrator.status().decisions == 1 and #vim.diagnostic.get(second_buffer) > 0
end)
fact('second', orchestrator.statusline():match('^%d waiting'), #vim.diagnostic.get(second_buffer))
vim.api.nvim_set_current_buf(first_buffer)
fact('first', '[' .. orchestrator.statusline() .. ']', #vim.diagnostic.get(first_buffer))
local before = #said
vim.cmd('Orchestrator decide')
await('that nothing waits in the first', function()
  return #said > before
end)
fact('decide in the first', said[#said])

-- A page of the second, looked at from there: commands typed in it are for the second.
vim.api.nvim_set_current_buf(second_buffer)
vim.cmd('Orchestrator plan')
await('the plan as a buffer', function()
  return vim.api.nvim_buf_get_lines(0, 0, 1, false)[1] == '# Plan of R-1'
end)
fact('on the page', #orchestrator.status().decisions, #vim.lsp.get_clients({ name = 'orchestrator' }))

-- A buffer that is nowhere: it is asked which root is meant, and Escape does nothing.
vim.cmd.enew()
vim.bo.buftype = 'nofile'
asked = {}
vim.cmd('Orchestrator decide')
await('which folder', function()
  return #asked == 1
end)
fact('nowhere', (asked[1]:gsub('[^ ]*/', '')))
fact('nowhere, all', #orchestrator.status().decisions)
answer = vim.fs.basename(second.root_dir)
vim.cmd('Orchestrator decide')
await('the question of the second', function()
  return #asked == 3
end)
fact('asked', asked[3])
answer = 'Red'
vim.api.nvim_set_current_buf(second_buffer)
vim.cmd('Orchestrator decide')
await('the answer', function()
  return #orchestrator.status().decisions == 0 and #vim.diagnostic.get(second_buffer) == 0
end)
fact('answered', #orchestrator.status().decisions, #vim.diagnostic.get(second_buffer))

-- A server that ends takes what it said with it.
second:stop()
await('the end of the second', function()
  return #vim.lsp.get_clients({ name = 'orchestrator' }) == 1
end)
vim.cmd.enew()
vim.bo.buftype = 'nofile'
asked = {}
before = #said
vim.cmd('Orchestrator status')
await('the status of the only one left', function()
  return #said > before
end)
fact('one left', #asked, said[#said])
print('all is well')
os.exit(0)
