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
    ['orchestrator/status'] = function(_, status, context)
      require('orchestrator').on_status(status, context.client_id)
    end,
    -- A page is of the root whose server shows it, so a command typed there goes to that one.
    ['window/showDocument'] = function(failure, params, context)
      local result = vim.lsp.handlers['window/showDocument'](failure, params, context)
      if params and not params.external then
        vim.b[vim.uri_to_bufnr(params.uri)].orchestrator_client = context.client_id
      end
      return result
    end,
  },
  on_exit = function(_, _, client_id)
    vim.schedule(function()
      require('orchestrator').on_status(nil, client_id)
    end)
  end,
  commands = {
    ['orchestrator.ask'] = function(command, context)
      require('orchestrator').ask(command.arguments and command.arguments[1] or {}, context.client_id)
    end,
  },
}
