"""What every part stands on: command lines, errors, the workspace, what runs say of themselves."""
