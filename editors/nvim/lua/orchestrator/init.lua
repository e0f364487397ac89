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

---@type orchestrator.Status
M.status = { runs = {}, decisions = {}, connected = false }

--- Sets options. Not needed for the defaults.
---@param options? orchestrator.Options
function M.setup(options)
  M.options = vim.tbl_deep_extend('force', M.options, options or {})
end

---@param status orchestrator.Status
function M.on_status(status)
  M.status = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'OrchestratorStatus', modeline = false })
end

--- For a status line: empty where nothing is under way.
---@return string
function M.statusline()
  local parts = {}
  if #M.status.decisions > 0 then
    parts[#parts + 1] = ('%d waiting'):format(#M.status.decisions)
  end
  for _, run in ipairs(M.status.runs) do
    parts[#parts + 1] = ('%s %d%%%%'):format(run.request_id, run.percent)
  end
  return table.concat(parts, ' ')
end

local function say(text, level)
  vim.notify(text, level or vim.log.levels.INFO, { title = 'orchestrator' })
end

--- The session of this buffer, or any.
local function client(id)
  local found = id and vim.lsp.get_client_by_id(id)
    or vim.lsp.get_clients({ name = 'orchestrator', bufnr = 0 })[1]
    or vim.lsp.get_clients({ name = 'orchestrator' })[1]
  if not found then
    say("not attached: put vim.lsp.enable('orchestrator') into your init.lua and open a file", vim.log.levels.ERROR)
  end
  return found
end

--- Has the server do something; `done` gets its result.
---@param name string
---@param argument table|nil
---@param done? fun(result: table)
function M.execute(name, argument, done, client_id)
  local found = client(client_id)
  if not found then
    return
  end
  local arguments = argument and { vim.empty_dict and next(argument) == nil and vim.empty_dict() or argument } or nil
  local params = { command = 'orchestrator.' .. name, arguments = arguments }
  found:request('workspace/executeCommand', params, function(failure, result)
    if failure then
      say(failure.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end)
end

local function summary(result)
  say(result.summary)
end

--- Asks for words and hands in a request about a place.
---@param argument table `uri` and `range`, or nothing.
function M.ask(argument, client_id)
  vim.ui.input({ prompt = 'Orchestrate: ' }, function(words)
    if words and words:find('%S') then
      argument.description = words
      M.execute('run', argument, summary, client_id)
    end
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
  M.execute('list_runs', {}, function(result)
    if result.runs[1] then
      done(result.runs[1].request_id)
    else
      say('there are no runs yet')
    end
  end)
end

local function answer(decision)
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
      M.execute('submit_decision', { decision_id = decision.decision_id, response = response }, summary)
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
  M.execute('get_pending_decisions', {}, function(result)
    for _, decision in ipairs(result.decisions) do
      if not words[1] or decision.decision_id == words[1]:upper() then
        answer(decision)
        return
      end
    end
    say(words[1] and (words[1] .. ' is not open') or result.summary)
  end)
end

function verbs.status()
  M.execute('get_state', {}, function(state)
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
    for _, decision in ipairs(M.status.decisions) do
      lines[#lines + 1] = ('%s waits for you: %s'):format(decision.decision_id, decision.question)
    end
    say(table.concat(lines, '\n'))
  end)
end

function verbs.cancel(words)
  if words[1] then
    M.execute('cancel_task', { task_id = words[1]:upper() }, summary)
  elseif #M.status.runs == 1 then
    M.execute('cancel_task', { task_id = M.status.runs[1].request_id }, summary)
  else
    say(#M.status.runs == 0 and 'nothing is under way' or 'say which: :Orchestrator cancel R-3', vim.log.levels.WARN)
  end
end

function verbs.apply(words)
  newest(words[1] and words[1]:upper(), function(run)
    M.execute('apply', { run = run })
  end)
end

function verbs.undo(words)
  newest(words[1] and words[1]:upper(), function(run)
    M.execute('undo', { run = run }, function(result)
      say(result.summary)
      vim.cmd.checktime()
    end)
  end)
end

function verbs.why(words)
  newest(words[1] and words[1]:upper(), function(id)
    M.execute('show_why', { id = id })
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
    newest(words[1] and words[1]:upper(), function(run)
      M.execute(command, { run = run })
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
    end, M.status.decisions)
  elseif verb ~= 'run' then
    found = vim.tbl_map(function(run)
      return run.request_id
    end, M.status.runs)
  else
    return {}
  end
  table.sort(found)
  return vim.tbl_filter(function(word)
    return vim.startswith(word:lower(), lead:lower())
  end, found)
end

return M
