"""Do synthetic cases help a rare cohort? One experiment, made by one command from one seed."""
