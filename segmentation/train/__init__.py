"""What a training needs around MMEngine's loop: its config, its data, its checkpoints and a good end."""
