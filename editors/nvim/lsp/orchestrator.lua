-- What `vim.lsp.enable('orchestrator')` starts. Without `filetypes` it serves every buffer, beside the language's own server.
local function program()
  return require('orchestrator').options.cmd
end

---@type vim.lsp.Config
return {
  cmd = function(dispatchers)
    return vim.lsp.rpc.start(program(), dispatchers)
  end,
  root_markers = { '.git', '.orchestrator' },
  -- `status`: what `:Orchestrator status` and a status line show. `inputBox`: this side asks for words.
  init_options = { status = true, inputBox = true },
  handlers = {
    ['orchestrator/status'] = function(_, status)
      require('orchestrator').on_status(status)
    end,
  },
  commands = {
    ['orchestrator.ask'] = function(command, context)
      require('orchestrator').ask(command.arguments and command.arguments[1] or {}, context.client_id)
    end,
  },
}
