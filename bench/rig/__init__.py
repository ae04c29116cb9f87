"""What a run stands on: processes, cores, workers, rounds and progress bars."""
