module headrace/e2e/rig/modules/pause

go 1.26.0
