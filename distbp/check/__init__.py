"""The law, held up to a workload: its maps one by one, its program as a whole, and its workers against one."""
