-- The health of a Headrace resource, from its kstatus conditions.
local health = {status = "Progressing", message = "The operator has not seen this yet."}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  return health
end
for _, condition in ipairs(status.conditions) do
  if condition.status == "True" then
    if condition.type == "Stalled" then
      return {status = "Degraded", message = condition.message}
    end
    if condition.type == "Ready" then
      health = {status = "Healthy", message = condition.message}
    end
    if condition.type == "Reconciling" then
      health = {status = "Progressing", message = condition.message}
    end
  end
end
return health
