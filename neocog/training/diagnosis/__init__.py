"""The training doctor: cheap looks at a training while it runs, and what they say of why it does not "
"learn."""
