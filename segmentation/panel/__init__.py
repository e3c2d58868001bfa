"""All years as one: which mine opened when, how it grew, and what was looked at."""
