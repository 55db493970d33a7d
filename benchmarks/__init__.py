"""Speed beside what a user would pick instead; a command each."""
