"""The orchestrator: config, cells, plan, queue, runners, store. No torch."""
