--- Commands of the orchestrator in Neovim. Everything is decided by the server; this maps words to its commands.
local M = {}

---@class orchestrator.Options
---@field cmd string[] The program and its arguments.
M.options = { cmd = { 'orchestrator', '--lsp' } }

---@class orchestrator.Run
---@field request_id string
---@field description string
---@field percent integer
---@field message string

---@class orchestrator.Status
---@field runs orchestrator.Run[]
---@field decisions table[] Open decisions, most urgent first.
---@field connected boolean

--- What each server said last, by its client: every root has one of its own.
---@type table<integer, orchestrator.Status>
local told = {}

--- Sets options. Not needed for the defaults.
---@param options? orchestrator.Options
function M.setup(options)
  M.options = vim.tbl_deep_extend('force', M.options, options or {})
end

---@param status orchestrator.Status|nil Nothing: the server is gone.
---@param client_id integer
function M.on_status(status, client_id)
  told[client_id] = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'OrchestratorStatus', modeline = false })
end

--- The client of this buffer: the one that showed it, or the one attached to it. Else the only one there is.
---@return vim.lsp.Client|nil
local function here()
  local shown = vim.b.orchestrator_client and vim.lsp.get_client_by_id(vim.b.orchestrator_client)
  local all = vim.lsp.get_clients({ name = 'orchestrator' })
  return shown or vim.lsp.get_clients({ name = 'orchestrator', bufnr = 0 })[1] or (#all == 1 and all[1] or nil)
end

--- What is under way where this buffer is; in a buffer that is nowhere, everywhere.
---@return orchestrator.Status
function M.status()
  local client = here()
  local all = { runs = {}, decisions = {}, connected = false }
  for id, status in pairs(told) do
    if not client or client.id == id then
      vim.list_extend(all.runs, status.runs)
      vim.list_extend(all.decisions, status.decisions)
      all.connected = all.connected or status.connected
    end
  end
  return all
end

--- For a status line: empty where nothing is under way.
---@return string
function M.statusline()
  local status = M.status()
  local parts = {}
  if #status.decisions > 0 then
    parts[#parts + 1] = ('%d waiting'):format(#status.decisions)
  end
  for _, run in ipairs(status.runs) do
    parts[#parts + 1] = ('%s %d%%%%'):format(run.request_id, run.percent)
  end
  return table.concat(parts, ' ')
end

local function say(text, level)
  vim.notify(text, level or vim.log.levels.INFO, { title = 'orchestrator' })
end

--- The client that is meant: that one, or this buffer's. Where neither is known and several run, it is asked.
---@param id integer|nil
---@param done fun(client: vim.lsp.Client)
local function with_client(id, done)
  local found = id and vim.lsp.get_client_by_id(id) or here()
  local all = vim.lsp.get_clients({ name = 'orchestrator' })
  if found then
    done(found)
  elseif #all == 0 then
    say("not attached: put vim.lsp.enable('orchestrator') into your init.lua and open a file", vim.log.levels.ERROR)
  else
    vim.ui.select(all, {
      prompt = 'In which folder? ',
      kind = 'orchestrator_folder',
      format_item = function(client)
        return client.root_dir or vim.uv.cwd()
      end,
    }, function(client)
      if client then
        done(client)
      end
    end)
  end
end

--- Has the server do something; `done` gets its result, and the client that it came from for what follows.
---@param name string
---@param argument table|nil
---@param done? fun(result: table, client_id: integer)
---@param client_id? integer
function M.execute(name, argument, done, client_id)
  local arguments = argument and { vim.empty_dict and next(argument) == nil and vim.empty_dict() or argument } or nil
  local params = { command = 'orchestrator.' .. name, arguments = arguments }
  with_client(client_id, function(found)
    found:request('workspace/executeCommand', params, function(failure, result)
      if failure then
        say(failure.message, vim.log.levels.ERROR)
      elseif done then
        done(result, found.id)
      end
    end)
  end)
end

local function summary(result)
  say(result.summary)
end

--- Asks for words and hands in a request about a place.
---@param argument table `uri` and `range`, or nothing.
function M.ask(argument, client_id)
  with_client(client_id, function(client)
    vim.ui.input({ prompt = 'Orchestrate: ' }, function(words)
      if words and words:find('%S') then
        argument.description = words
        M.execute('run', argument, summary, client.id)
      end
    end)
  end)
end

--- The lines of a range as a place in a request.
local function place(first, last)
  return {
    uri = vim.uri_from_bufnr(0),
    range = { start = { line = first - 1, character = 0 }, ['end'] = { line = last, character = 0 } },
  }
end

--- One id, or the newest run.
local function newest(id, done)
  if id then
    done(id)
    return
  end
  M.execute('list_runs', {}, function(result, client_id)
    if result.runs[1] then
      done(result.runs[1].request_id, client_id)
    else
      say('there are no runs yet')
    end
  end)
end

local function answer(decision, client_id)
  vim.ui.select(decision.options, {
    prompt = ('%s: %s'):format(decision.decision_id, decision.question),
    kind = 'orchestrator_decision',
    format_item = function(option)
      return ('%s (%s)'):format(option.title, option.effect)
    end,
  }, function(option)
    -- Nothing chosen is no answer: it stays open.
    if not option then
      return
    end
    local response = { choice = option.id }
    local submit = function()
      M.execute('submit_decision', { decision_id = decision.decision_id, response = response }, summary, client_id)
    end
    if not option.takes_text then
      submit()
      return
    end
    vim.ui.input({ prompt = 'Words with it (may be empty): ' }, function(text)
      if text == nil then
        return
      end
      response.text = text ~= '' and text or nil
      submit()
    end)
  end)
end

---@type table<string, fun(words: string[], range?: integer[])>
local verbs = {}

function verbs.run(words, range)
  local argument = range and place(range[1], range[2]) or {}
  if #words == 0 then
    M.ask(argument)
    return
  end
  argument.description = table.concat(words, ' ')
  M.execute('run', argument, summary)
end

function verbs.decide(words)
  M.execute('get_pending_decisions', {}, function(result, client_id)
    for _, decision in ipairs(result.decisions) do
      if not words[1] or decision.decision_id == words[1]:upper() then
        answer(decision, client_id)
        return
      end
    end
    say(words[1] and (words[1] .. ' is not open') or result.summary)
  end)
end

function verbs.status()
  M.execute('get_state', {}, function(state, client_id)
    local lines = { state.summary }
    for _, session in ipairs(state.sessions) do
      local outcome = type(session.outcome) == 'string' and session.outcome or session.state
      lines[#lines + 1] = ('%s  %3d%%  %s  %s'):format(
        session.request_id,
        session.progress.completion_percentage,
        outcome,
        session.description:gsub('\n.*', '')
      )
    end
    for _, decision in ipairs(told[client_id] and told[client_id].decisions or {}) do
      lines[#lines + 1] = ('%s waits for you: %s'):format(decision.decision_id, decision.question)
    end
    say(table.concat(lines, '\n'))
  end)
end

function verbs.cancel(words)
  if words[1] then
    M.execute('cancel_task', { task_id = words[1]:upper() }, summary)
    return
  end
  with_client(nil, function(client)
    local runs = told[client.id] and told[client.id].runs or {}
    if #runs == 1 then
      M.execute('cancel_task', { task_id = runs[1].request_id }, summary, client.id)
    else
      say(#runs == 0 and 'nothing is under way' or 'say which: :Orchestrator cancel R-3', vim.log.levels.WARN)
    end
  end)
end

function verbs.apply(words)
  newest(words[1] and words[1]:upper(), function(run, client_id)
    M.execute('apply', { run = run }, nil, client_id)
  end)
end

function verbs.undo(words)
  newest(words[1] and words[1]:upper(), function(run, client_id)
    M.execute('undo', { run = run }, function(result)
      say(result.summary)
      vim.cmd.checktime()
    end, client_id)
  end)
end

function verbs.why(words)
  newest(words[1] and words[1]:upper(), function(id, client_id)
    M.execute('show_why', { id = id }, nil, client_id)
  end)
end

function verbs.explain(words)
  M.execute('show_explanation', { description = table.concat(words, ' ') })
end

function verbs.doctor()
  M.execute('doctor', vim.empty_dict())
end

for verb, command in pairs({ plan = 'show_plan', report = 'show_report', diff = 'show_diff' }) do
  verbs[verb] = function(words)
    newest(words[1] and words[1]:upper(), function(run, client_id)
      M.execute(command, { run = run }, nil, client_id)
    end)
  end
end

function verbs.log(words)
  if not words[1] then
    say('say whose: :Orchestrator log T-4', vim.log.levels.WARN)
    return
  end
  M.execute('show_log', { id = words[1]:upper() })
end

--- `:Orchestrator VERB …`
function M.command(arguments)
  local words = vim.deepcopy(arguments.fargs)
  local verb = table.remove(words, 1) or 'status'
  if not verbs[verb] then
    say(('no verb %q; there are %s'):format(verb, table.concat(M.complete('', 'Orchestrator '), ', ')), vim.log.levels.ERROR)
    return
  end
  verbs[verb](words, arguments.range > 0 and { arguments.line1, arguments.line2 } or nil)
end

--- Completes verbs, and the ids that are known for them.
function M.complete(lead, line)
  local words = vim.split(vim.trim(line), '%s+')
  local verb = words[2]
  local found
  if #words < 2 or (#words == 2 and lead ~= '') then
    found = vim.tbl_keys(verbs)
  elseif verb == 'decide' then
    found = vim.tbl_map(function(decision)
      return decision.decision_id
    end, M.status().decisions)
  elseif verb ~= 'run' then
    found = vim.tbl_map(function(run)
      return run.request_id
    end, M.status().runs)
  else
    return {}
  end
  table.sort(found)
  return vim.tbl_filter(function(word)
    return vim.startswith(word:lower(), lead:lower())
  end, found)
end

return M
