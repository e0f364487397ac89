--- `:checkhealth orchestrator`
local M = {}

function M.check()
  local health = vim.health
  health.start('orchestrator')
  if vim.fn.has('nvim-0.11') == 1 then
    health.ok('Neovim is new enough')
  else
    health.error('Neovim 0.11 or later is needed', { 'vim.lsp.enable() came with it' })
  end
  local program = require('orchestrator').options.cmd[1]
  if vim.fn.executable(program) == 0 then
    health.error(('%q is not found'):format(program), {
      'install it: cargo install --path . in a clone',
      "or say where it is: require('orchestrator').setup({ cmd = { '/path/to/orchestrator', '--lsp' } })",
    })
    return
  end
  health.ok(('%s is %s'):format(program, vim.trim(vim.fn.system({ program, '--version' }))))
  if vim.fn.system({ program, 'daemon', 'status' }) and vim.v.shell_error == 0 then
    health.ok('the daemon runs')
  else
    health.info('no daemon runs; one is started when it is needed')
  end
  local clients = vim.lsp.get_clients({ name = 'orchestrator' })
  if #clients == 0 then
    health.warn('no buffer is attached', { "put vim.lsp.enable('orchestrator') into your init.lua and open a file of a repository" })
    return
  end
  for _, client in ipairs(clients) do
    local version = client.server_info and client.server_info.version or '?'
    health.ok(('attached to %d buffers in %s, server %s'):format(
      vim.tbl_count(client.attached_buffers),
      client.root_dir or 'no folder',
      version
    ))
  end
end

return M
