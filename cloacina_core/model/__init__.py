"""What things are: workflows, tasks, contexts, rules, runs. Pure, standard library only."""
