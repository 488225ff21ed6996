-- How far a resource of Byway is, for Argo CD. Into the ConfigMap argocd-cm, once for each kind:
--   data: {resource.customizations.health.byway.dev_ModelRoute: "<this file>"}
-- The same reading as kstatus, which Flux and Helm use without being told.
local health = {status = "Progressing", message = "the operator has not looked at it yet"}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "the operator has not looked at this generation yet"
  return health
end
local said = {}
for _, condition in ipairs(status.conditions) do
  said[condition.type] = condition
end
if said.Reconciling ~= nil and said.Reconciling.status == "True" then
  health.message = said.Reconciling.message
elseif said.Stalled ~= nil and said.Stalled.status == "True" then
  health.status = "Degraded"
  health.message = said.Stalled.message
elseif said.Ready ~= nil and said.Ready.status == "True" then
  health.status = "Healthy"
  health.message = said.Programmed ~= nil and said.Programmed.message or ""
elseif said.Ready ~= nil then
  health.message = said.Ready.message
end
return health
