-- Commands and <Plug> maps. Nothing is required before one of them is used.
if vim.g.loaded_orchestrator then
  return
end
vim.g.loaded_orchestrator = true

vim.api.nvim_create_user_command('Orchestrator', function(arguments)
  require('orchestrator').command(arguments)
end, {
  nargs = '*',
  range = true,
  desc = 'run, decide, status, cancel, apply, undo, diff, log, plan, report, why, explain, doctor',
  complete = function(lead, line)
    return require('orchestrator').complete(lead, line)
  end,
})

vim.keymap.set({ 'n', 'x' }, '<Plug>(orchestrator-run)', ':Orchestrator run<CR>', { silent = true })
vim.keymap.set('n', '<Plug>(orchestrator-decide)', '<Cmd>Orchestrator decide<CR>')
vim.keymap.set('n', '<Plug>(orchestrator-status)', '<Cmd>Orchestrator status<CR>')
